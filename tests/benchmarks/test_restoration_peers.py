"""DnCNN and FFDNet from their published weights do what they are known for."""

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data.damage import make_damage

_FILES = {"dncnn": "dncnn_color_sigma25.mat", "ffdnet": "ffdnet_color.mat"}


@pytest.mark.extended
@pytest.mark.real_data
@pytest.mark.parametrize("name", _FILES)
def test_a_peer_removes_noise(name, photos_folder):
    pytest.importorskip("torch")
    from benchmarks.restoration_peers import PEERS

    restore = PEERS[name](photos_folder.parent / "weights" / "peers" / _FILES[name])
    photo = np.asarray(Image.open(photos_folder / "kodak" / "kodim23.png"))
    # Sides that are not the same, and odd.
    photo = photo[100:227, 200:301]
    noisy = make_damage("noise:25:unclipped")(photo, np.random.default_rng(0)).photo
    errors = [np.square(x - photo).mean() for x in (noisy, restore(noisy, 25.0))]
    before, after = 10 * np.log10(255**2 / np.array(errors))
    # Another order of channels or pixels costs at least 2 dB.
    assert before == pytest.approx(20.17, abs=0.1) and after > 33
