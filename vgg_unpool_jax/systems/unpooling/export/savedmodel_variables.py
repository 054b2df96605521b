"""The variables of a SavedModel, and which convolution each of them is.

A SavedModel of the published form does not record which of its variables is which
layer: their names are paths in an object ("layer_with_weights-3/kernel",
"variables/7"). They are matched by shape, and if several layers share a shape, by
order. Possible orders are tried by running the model; see `imported`.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vgg_unpool_jax.errors import UserError, first_line

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
# Variables that training adds to a SavedModel, and Keras 3's second copy of all
# variables.
_NOT_THE_MODEL = re.compile(
    r"^_all_variables/|(^|/)(save_counter|_?optimizer\w*|\.OPTIMIZER_SLOT|keras_api/metrics|seed\w*)(/|$)"
)
# Names of variables in our own exports that the published decoders do not have.
FEATURE_RMS, OUTPUT_SCALE = "feature_rms", "output_scale"


@dataclasses.dataclass(frozen=True, eq=False)
class StoredConvolution:
    """A 3×3 convolution of a SavedModel.

    Attributes:
      kernel_name: name of the kernel variable.
      bias_name: name of the bias variable.
      kernel: (3, 3, in, out) float32.
      bias: (out,) float32.
    """

    kernel_name: str
    bias_name: str
    kernel: np.ndarray
    bias: np.ndarray

    @property
    def channels(self) -> tuple[int, int]:
        """Of input and output."""
        return self.kernel.shape[2:]


@dataclasses.dataclass(frozen=True, eq=False)
class StoredVariables:
    """The variables of a SavedModel by kind.

    Attributes:
      convolutions: in the natural order of their names.
      others: name -> array, of our own exports.
    """

    convolutions: Sequence[StoredConvolution]
    others: Mapping[str, np.ndarray]


def read_variables(folder: pathlib.Path, tensorflow) -> StoredVariables:
    """Read a SavedModel's convolutions.

    Args:
      folder: with saved_model.pb and variables/.
      tensorflow: the module.
    """
    if not (folder / "saved_model.pb").is_file():
        hint = ", unpack it first" if folder.name.endswith((".tar.gz", ".tgz")) else ""
        raise UserError(
            f"{folder} is not a SavedModel, a folder with saved_model.pb and "
            f"variables{hint}"
        )
    try:
        reader = tensorflow.train.load_checkpoint(str(folder / "variables/variables"))
        types = reader.get_variable_to_dtype_map()
        names = [n for n in types if n.endswith(_SUFFIX) and types[n].is_floating]
        arrays = {name.removesuffix(_SUFFIX): reader.get_tensor(name) for name in names}
    # TensorFlow answers damage with DataLossError, but also with ValueError and others.
    except Exception as error:
        raise UserError(
            f"the variables of {folder} cannot be read, they are missing, damaged or "
            f"incomplete ({first_line(error)})"
        ) from error
    arrays = {n: a for n, a in arrays.items() if not _NOT_THE_MODEL.search(n)}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise UserError(f"{folder} holds NaN or infinite values in {name}")
    others = {n: arrays.pop(n) for n in (FEATURE_RMS, OUTPUT_SCALE) if n in arrays}
    return StoredVariables(list(_pair_up(folder, arrays)), others)


def natural_order(name: str) -> list:
    """Sort key with "layer-10" after "layer-9"."""
    return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]


def orders(
    stored: Sequence[StoredConvolution], wanted: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, list[StoredConvolution]]]:
    """All plausible orders of convolutions that have the expected shapes.

    Args:
      stored: as from `read_variables`.
      wanted: (input, output) channels of the network's layers, first to last.

    Yields:
      A description and the convolutions in the order of `wanted`. Nothing if the shapes
      differ; one order if no two layers share a shape.
    """
    if sorted(c.channels for c in stored) != sorted(wanted):
        return
    tried = []
    for text, candidates in (
        ("in the order of their names", list(stored)),
        ("against the order of their names", list(stored)[::-1]),
    ):
        remaining, chosen = list(candidates), []
        for channels in wanted:
            match = next(c for c in remaining if c.channels == channels)
            remaining.remove(match)
            chosen.append(match)
        if chosen not in tried:
            tried.append(chosen)
            yield text, chosen


def _pair_up(folder, arrays: Mapping[str, np.ndarray]) -> Iterator[StoredConvolution]:
    """Kernels with their biases, in natural order."""
    names = sorted(arrays, key=natural_order)
    kernels = [n for n in names if arrays[n].ndim == 4]
    biases = [n for n in names if arrays[n].ndim == 1]
    strange = [n for n in names if n not in biases and arrays[n].shape[:2] != (3, 3)]
    if strange or len(kernels) != len(biases) or not kernels:
        shown = strange or names
        described = ", ".join(f"{n} {arrays[n].shape}" for n in shown[:4]) or "nothing"
        more = ", …" if len(shown) > 4 else ""
        raise UserError(
            f"{folder} must hold 3×3 convolutions with bias and nothing else, it holds "
            f"{described}{more}"
        )
    # In natural order the n-th bias is the n-th kernel's, whether the names are
    # "layer/bias" and "layer/kernel" or "variables/0" and "variables/1".
    for kernel, bias in zip(kernels, biases, strict=True):
        if arrays[bias].shape != arrays[kernel].shape[3:]:
            raise UserError(
                f"{folder}: {bias} {arrays[bias].shape} is not the bias of {kernel} "
                f"{arrays[kernel].shape}"
            )
        values = (np.asarray(arrays[n], np.float32) for n in (kernel, bias))
        yield StoredConvolution(kernel, bias, *values)
