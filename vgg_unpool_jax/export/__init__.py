"""Pairs for other programs, and pairs from them.

Out: `export_pair` writes SavedModels, StableHLO, ONNX, released files or orbax folders.
In: `import_savedmodels` reads encoders and decoders in the form of the published VGG19
unpooling collection. Packages that only one format needs are imported for it alone.
"""

from vgg_unpool_jax.export.errors import ExportError
from vgg_unpool_jax.export.folders import check_output
from vgg_unpool_jax.export.formats import FORMATS, export_pair
from vgg_unpool_jax.export.imported import ImportedPair, import_savedmodels
from vgg_unpool_jax.export.parts import PairParts

__all__ = [
    "FORMATS",
    "ExportError",
    "ImportedPair",
    "PairParts",
    "check_output",
    "export_pair",
    "import_savedmodels",
]
