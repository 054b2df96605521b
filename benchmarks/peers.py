"""Other programs that do the same, where they are installed."""

import importlib
import os
from collections.abc import Sequence

import jax

from vgg_unpool_jax.errors import ConfigError

KNOWN = ("torch", "tensorflow")


class Peers:
    """Which peers take part.

    Attributes:
      missing: (name, reason) of those that were asked for and cannot.
    """

    def __init__(self, names: Sequence[str]):
        """Look for the peers.

        Args:
          names: any of `KNOWN`.
        """
        self.missing: list[tuple[str, str]] = []
        self._versions: dict[str, str] = {}
        for name in names:
            if name not in KNOWN:
                raise ConfigError(
                    f"--peers knows {' and '.join(KNOWN)}, and got {name!r}"
                )
            try:
                self._versions[name] = _find(name)
            except (ImportError, OSError) as error:  # OSError: a library it links
                self.missing.append((name, f"{error}"))

    def __contains__(self, name: str) -> bool:
        return name in self._versions

    def __len__(self) -> int:
        return len(self._versions)

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the peers that take part."""
        return dict(self._versions)


def _find(name: str) -> str:
    # Its messages would stand between the rows of the table.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # torch's OpenMP threads else spin while they wait. Beside the threads of other
    # programs two of them come to share a core, spin each other's time slice away, and
    # a call of 0.1 ms takes 8 (measured on two cores). Sleeping costs them up to
    # 0.1 ms a call where they would have had the machine to themselves.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    module = importlib.import_module(name)
    platform = jax.default_backend()
    if platform == "cpu":
        return module.__version__
    if name == "torch":
        reaches = platform == "gpu" and module.cuda.is_available()
    else:
        reaches = bool(module.config.list_physical_devices(platform.upper()))
        for device in module.config.list_physical_devices("GPU"):
            # It would take all memory of the device at once.
            module.config.experimental.set_memory_growth(device, True)
    if not reaches:
        raise ImportError(
            f"{name} {module.__version__} is installed, but does not reach the "
            f"{platform} that jax uses"
        )
    return module.__version__


def torch_device():
    """The device on which torch does what jax does on its own."""
    import torch

    return torch.device("cpu" if jax.default_backend() == "cpu" else "cuda")


def torch_wait(_) -> None:
    """Come back when torch has computed all that it was asked for."""
    import torch

    if torch_device().type == "cuda":
        torch.cuda.synchronize()


def tensorflow_wait(_) -> None:
    """Come back when TensorFlow has computed all that it was asked for."""
    import tensorflow as tf

    if jax.default_backend() != "cpu":  # there, it is done when a call returns
        tf.test.experimental.sync_devices()
