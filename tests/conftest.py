"""Fixtures shared by all tests: where the real weights and photos are, if at all.

Tests marked `real_data` take the fixtures below and skip with a reason when the files
are not there. The folder is `../shared/data` beside the checkout, or what the
environment variable VGG_UNPOOL_TEST_DATA names.
"""

import atexit
import ctypes
import gc
import importlib.util
import os
import pathlib
import shutil
import sys
import tempfile

import hypothesis
import numpy as np
import pytest
from PIL import Image

# The tests run on the CPU also where an accelerator is present: tolerances are for
# float32 arithmetic, and several devices are simulated.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# Most of the time of the tests is compilation: without LLVM's optimisations it is half,
# and with the older emitters half of that. Tests add flags of their own to these.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
)

# For the workers of pytest-xdist: many arenas, one a thread, keep freed memory.
os.environ.setdefault("MALLOC_ARENA_MAX", "2")

# A program that one process has compiled, all others load from this folder: workers of
# pytest-xdist and commands that tests start inherit the environment of the first
# process, which removes the folder.
_COMPILED = "JAX_COMPILATION_CACHE_DIR"
if _COMPILED not in os.environ:
    os.environ[_COMPILED] = tempfile.mkdtemp(prefix="compiled")
    atexit.register(shutil.rmtree, os.environ[_COMPILED], ignore_errors=True)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Generated inputs are the same in every run. `./launch.sh fuzz` searches for others.
_SHARED = {"database": None, "deadline": None}
hypothesis.settings.register_profile(
    "fixed", max_examples=30, derandomize=True, **_SHARED
)
hypothesis.settings.register_profile(
    "fuzz", max_examples=1000, print_blob=True, **_SHARED
)
hypothesis.settings.load_profile("fixed")

_CHECKOUT = pathlib.Path(__file__).resolve().parents[1]
_WEIGHTS_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"


# Traced programs are many small objects that live long: looking for garbage among them
# took a tenth of the time.
gc.set_threshold(50_000, 20, 50)

_MEMORY = 3 * 2**30  # bytes of a process above which compiled programs are dropped


@pytest.fixture(scope="module", autouse=True)
def _return_memory():
    """Behind each test file, where much is in use, drop the compiled programs."""
    yield
    if sys.platform == "linux":
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        if pages * os.sysconf("SC_PAGESIZE") < _MEMORY:
            return
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def _data_folder() -> pathlib.Path:
    default = _CHECKOUT.parent / "shared" / "data"
    return pathlib.Path(os.environ.get("VGG_UNPOOL_TEST_DATA", default))


@pytest.fixture(scope="session")
def vgg19_weights_path() -> pathlib.Path:
    """Path of the real VGG19 weights in Keras' layout."""
    path = _data_folder() / "weights" / _WEIGHTS_FILE
    if not path.exists():
        pytest.skip(f"the real VGG19 weights are not at {path}")
    return path


@pytest.fixture
def perceptual_weights(monkeypatch) -> pathlib.Path:
    """The real weights of LPIPS and DISTS, named by their variables, and examples."""
    folder = _data_folder() / "weights"
    for variable, name in (
        ("ALEXNET", "alexnet_torchvision_conv.safetensors"),
        ("VGG16", "vgg16_torchvision_conv_f16.npz"),
        ("LPIPS", "lpips_v0.1_heads.safetensors"),
        ("DISTS", "dists_alpha_beta.safetensors"),
    ):
        if not (folder / name).exists():
            pytest.skip(f"the real weights {name} are not in {folder}")
        monkeypatch.setenv(f"{variable}_WEIGHTS", str(folder / name))
    return folder.parent / "metric_examples"


@pytest.fixture(scope="session")
def photos_folder() -> pathlib.Path:
    """Folder with `train`, `coco_test` and `cbsd68` photos."""
    path = _data_folder() / "photos"
    if not path.exists():
        pytest.skip(f"the real photos are not at {path}")
    return path


@pytest.fixture(autouse=True)
def _no_user_cache(monkeypatch, tmp_path_factory):
    """Keep tests away from the user's weight cache and environment."""
    for name in ("VGG19", "VGG16", "ALEXNET", "LPIPS", "DISTS"):
        monkeypatch.delenv(f"{name}_WEIGHTS", raising=False)
    monkeypatch.setenv("VGG_UNPOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def _storage():
    """One stand-in of Google Cloud Storage: gcsfs keeps to the first address."""
    if importlib.util.find_spec("gcsfs") is None:
        pytest.skip("gs:// needs gcsfs (pip install gcsfs)")
    from tests import fake_gcs

    with fake_gcs.serve() as (bucket, url), pytest.MonkeyPatch.context() as patch:
        for name in ("STORAGE_EMULATOR_HOST", "TENSORSTORE_GCS_HTTP_URL"):
            patch.setenv(name, url)
        # The stand-in speaks HTTP, not the protocol by which zonal buckets are found.
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        patch.setenv("GOOGLE_CLOUD_PROJECT", "project")
        patch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "token")
        yield bucket


@pytest.fixture
def bucket(_storage):
    """gs://bucket/, empty: what it holds and was asked is in its attributes."""
    _storage.forbidden = ""
    _storage.objects.clear()
    _storage.requests.clear()
    return _storage


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> pathlib.Path:
    """A folder with twelve smooth photos of 24×20 pixels."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(12):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        path = folder / f"photo{number:02d}.png"
        coarse.resize((24, 20), Image.Resampling.BICUBIC).save(path)
    return folder


@pytest.fixture(scope="session")
def read_events():
    """A function folder -> TensorBoard's EventAccumulator with everything loaded."""
    from tensorboard.backend.event_processing import event_accumulator

    def read(folder):
        accumulator = event_accumulator.EventAccumulator(
            str(folder), size_guidance={"scalars": 0, "images": 0}
        )
        return accumulator.Reload()

    return read


@pytest.fixture(scope="session")
def read_scalars(read_events):
    """A function workdir -> {tag: [(step, value), ...]}."""

    def read(workdir):
        accumulator = read_events(workdir / "tensorboard")
        return {
            tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
            for tag in accumulator.Tags()["scalars"]
        }

    return read


@pytest.fixture(scope="session")
def assert_same_tree():
    """A function that holds two pytrees against each other, bit for bit."""

    import jax

    def check(ours, theirs):
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))

    return check
