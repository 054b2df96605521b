"""ONNX files, run by onnxruntime alone."""

import importlib.util
import json

import numpy as np
import pytest

from tests.npz import load_npz
from tests.systems.unpooling.export.conftest import assert_same, run_elsewhere
from vgg_unpool_jax.ops.switches import torch_to_codes
from vgg_unpool_jax.systems.unpooling.export.formats import export_pair

for _package in ("onnx", "onnxruntime"):
    if importlib.util.find_spec(_package) is None:
        pytest.skip(f"ONNX needs {_package}", allow_module_level=True)

_SCRIPT = """
import json
import sys
import numpy as np
import onnxruntime
for folder in sys.argv[1:]:
    encoder, decoder, autoencoder = (
        onnxruntime.InferenceSession(f"{folder}/{name}.onnx")
        for name in ("encoder", "decoder", "autoencoder")
    )
    images = np.load(f"{folder}/images.npy")
    names = [output.name for output in encoder.get_outputs()]
    encoded = dict(zip(names, encoder.run(None, {"images": images})))
    [decoded] = decoder.run(None, encoded)
    [whole] = autoencoder.run(None, {"images": images})
    properties = encoder.get_modelmeta().custom_metadata_map
    block = json.loads(properties["vgg_unpool_jax"])["config"]["encoder"]["block"]
    # Rows and columns beyond a multiple of 2^(block-1).
    odd = np.pad(images, ((0, 0), (0, 2 ** (block - 1) - 1), (0, int(block > 1)), (0, 0)))
    [cropped] = autoencoder.run(None, {"images": odd})
    [in_parts] = decoder.run(None, dict(zip(names, encoder.run(None, {"images": odd}))))
    odd = {"cropped": cropped, "in_parts": in_parts}
    np.savez(f"{folder}/out.npz", decoded=decoded, whole=whole, **encoded, **odd)
    print(block)
assert not {"jax", "tensorflow"} & set(sys.modules)
"""  # noqa: E501


@pytest.fixture(scope="module")
def exported(cases, tmp_path_factory):
    """Case name -> what onnxruntime made of its images; and the blocks it read."""
    folder = tmp_path_factory.mktemp("onnx")
    for name, case in cases.items():
        export_pair(case.parts, folder / name, "onnx")
        np.save(folder / name / "images.npy", case.images)
    said = run_elsewhere(_SCRIPT, *(folder / name for name in cases), folder=folder)
    blocks = dict(zip(cases, map(json.loads, said.split()), strict=True))
    return {n: (blocks[n], load_npz(folder / n / "out.npz")) for n in cases}


def test_onnxruntime_gives_our_outputs(exported, case):
    block, arrays = exported[case.name]
    assert block == case.pair.block
    codes = []
    for pool in range(1, block):
        flat = arrays[f"b{pool}_indices"]
        n, channels, height, width = flat.shape
        # Positions in the whole array, where torch has those in each plane.
        planes = np.arange(n * channels).reshape(n, channels, 1, 1)
        shape = (n, 2 * height, 2 * width, channels)
        codes.append(torch_to_codes(flat - planes * (4 * height * width), shape))
    assert_same(case, arrays["features"], codes, arrays["decoded"], arrays["whole"])
    # What is beyond a multiple does not count.
    np.testing.assert_array_equal(arrays["cropped"], arrays["whole"])
    np.testing.assert_array_equal(arrays["in_parts"], arrays["decoded"])
