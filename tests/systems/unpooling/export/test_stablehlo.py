"""`jax.export` artifacts, loaded by jax alone."""

import numpy as np
import pytest

from tests.npz import load_npz
from tests.systems.unpooling.export.conftest import assert_same, run_elsewhere
from vgg_unpool_jax.systems.unpooling.export.formats import export_pair

_SCRIPT = """
import sys
import jax, jax.export
import numpy as np
for folder in sys.argv[1:]:
    encoder, decoder, autoencoder = (
        jax.export.deserialize(open(f"{folder}/{name}.jax", "rb").read())
        for name in ("encoder", "decoder", "autoencoder")
    )
    images = np.load(f"{folder}/images.npy")
    features, switches = encoder.call(images)
    decoded, whole = decoder.call(features, switches), autoencoder.call(images)
    arrays = {str(number): array for number, array in enumerate(switches, start=1)}
    np.savez(
        f"{folder}/out.npz", decoded=decoded, whole=whole, features=features, **arrays
    )
    if switches:
        try:
            encoder.call(images[:, :-1])
        except ValueError as error:
            assert "4*h" in str(error) or "2*h" in str(error), error
        else:
            raise AssertionError("an odd height went through")
assert not {"flax", "tensorflow"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def exported(cases, tmp_path_factory):
    """Case name -> metadata and what jax made of its images."""
    folder = tmp_path_factory.mktemp("stablehlo")
    found = {}
    for name, case in cases.items():
        found[name] = export_pair(case.parts, folder / name, "stablehlo")
        np.save(folder / name / "images.npy", case.images)
    run_elsewhere(_SCRIPT, *(folder / name for name in cases), folder=folder)
    return {n: (m, load_npz(folder / n / "out.npz")) for n, m in found.items()}


def test_jax_alone_gives_our_outputs(exported, case):
    metadata, arrays = exported[case.name]
    codes = [arrays[str(pool)] for pool in range(1, case.pair.block)]
    assert all(code.dtype == np.uint8 for code in codes)
    assert_same(case, arrays["features"], codes, arrays["decoded"], arrays["whole"])
    assert metadata["details"]["calling_convention_version"] >= 9
    assert metadata["details"]["platforms"] == ("cpu", "cuda", "rocm", "tpu")
