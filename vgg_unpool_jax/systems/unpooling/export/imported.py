"""Import of pairs in the form of the published VGG19 unpooling collection.

Variables are assigned to layers by shape and order. The assignment, and the
preprocessing inside the encoder, are verified by running the SavedModel and our modules
on the same images; pairs whose outputs differ are refused.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.io.atomic import new_folder
from vgg_unpool_jax.io.paths import local_path
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.nets.vgg19_layers import (
    NUM_BLOCKS,
    PREPROCESSINGS,
    Convolution,
    convolutions_up_to,
)
from vgg_unpool_jax.ops.switches import codes_to_coordinates, coordinates_to_codes
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.recorded import released_record
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights, arrays_sha256
from vgg_unpool_jax.releases.file import write
from vgg_unpool_jax.systems.unpooling.decoder import STATISTICS, UnpoolingDecoder
from vgg_unpool_jax.systems.unpooling.export.optional import import_tensorflow
from vgg_unpool_jax.systems.unpooling.export.savedmodel_calls import SavedModel
from vgg_unpool_jax.systems.unpooling.export.savedmodel_variables import (
    FEATURE_RMS,
    OUTPUT_SCALE,
    StoredConvolution,
    orders,
)

# Largest difference that float32 sums in another order may make, as a share of the
# largest value; a wrong layer or preprocessing makes one a thousand times as large.
FEATURE_TOLERANCE = 1e-4
# The same in [0, 255], for outputs in this range, and in proportion for larger ones.
OUTPUT_TOLERANCE = 1e-2
# Largest share of other switches: either value may be the maximum of a window where two
# are equal up to rounding.
SWITCH_TOLERANCE = 1e-2


@dataclasses.dataclass(frozen=True, eq=False)
class ImportedPair:
    """A pair that was read from SavedModels.

    Attributes:
      weights: of the encoder.
      variables: of the decoder.
      section: the section "decoder" of a config, for these variables.
      report: lines with the variable of each layer and the measured differences.
      facts: a short form of the report for the decoder's metadata.
    """

    block: int
    weights: VGG19Weights
    variables: Mapping[str, Any]
    section: Mapping[str, Any]
    report: Sequence[str]
    facts: Mapping[str, Any]

    def save(self, folder: str | os.PathLike) -> None:
        """Write `decoder.safetensors`, `encoder.safetensors` and `report.txt`.

        `load_pair("FOLDER/decoder.safetensors", "FOLDER/encoder.safetensors")` is the
        pair.

        Args:
          folder: it must not exist, or be empty.
        """
        encoder = {"block": self.block, "weights": self.weights.origin}
        config = {"system": "unpooling", "encoder": encoder, "decoder": self.section}
        with new_folder(folder) as aside:
            write(
                aside / "decoder.safetensors",
                self.variables,
                config=config,
                pretrained=released_record(self.weights, self.block),
                step=0,
                facts=self.facts,
            )
            save_safetensors(self.weights, aside / "encoder.safetensors")
            text = "\n".join(self.report)
            (aside / "report.txt").write_text(f"{text}\n", encoding="utf-8")


def import_savedmodels(
    decoder: str | os.PathLike,
    encoder: str | os.PathLike | None = None,
    *,
    weights: str | os.PathLike | None = None,
) -> ImportedPair:
    """Read an encoder and a decoder of the published form.

    Args:
      decoder: folder of its SavedModel.
      encoder: folder of the encoder's SavedModel. None uses VGG19 weights from a file,
        which must be those that the decoder was trained with; this cannot be checked.
      weights: that file; None for the order of `load_vgg19_weights`.

    Returns:
      The pair, whose outputs were compared with the SavedModels'.
    """
    tensorflow = import_tensorflow("reading SavedModels")
    if encoder is not None and weights is not None:
        raise UserError("name an encoder's SavedModel or a weight file, not both")
    model = SavedModel(local_path(decoder), tensorflow)
    block = _block_of(model, mirrored=True)
    if encoder is None:
        found = load_vgg19_weights(weights, block=block)
        lines = [f"encoder: {found.origin}, not compared with anything"]
        inputs = _encode_ourselves(found, block)
    else:
        theirs = SavedModel(local_path(encoder), tensorflow)
        if (of_encoder := _block_of(theirs, mirrored=False)) != block:
            raise UserError(
                f"{encoder} is an encoder of block {of_encoder} and {decoder} a "
                f"decoder of block {block}: they are not a pair"
            )
        found, inputs, lines = _read_encoder(theirs, block)
    variables, section, more = _read_decoder(model, block, inputs)
    facts = {
        "imported": {
            "from": "SavedModel",
            "decoder": model.folder.name,
            "encoder": found.origin,
        }
    }
    report = [f"block {block}", "", *lines, "", *more]
    return ImportedPair(block, found, variables, section, report, facts)


def _block_of(model: SavedModel, *, mirrored: bool) -> int:
    for block in range(1, NUM_BLOCKS + 1):
        layers = _layers(block, mirrored)
        if any(orders(model.stored.convolutions, _channels(layers, mirrored))):
            return block
    kind = "decoder" if mirrored else "encoder"
    shapes = ", ".join(f"{c.channels[0]}→{c.channels[1]}" for c in model.convolutions)
    raise UserError(
        f"{model.folder} is not the {kind} of a pair of the collection, of any block "
        f"from 1 to {NUM_BLOCKS}: its convolutions are {shapes}"
    )


def _layers(block: int, mirrored: bool) -> tuple[Convolution, ...]:
    layers = convolutions_up_to(block)
    return layers[::-1] if mirrored else layers


def _channels(layers, mirrored: bool) -> list[tuple[int, int]]:
    pairs = [(layer.inputs, layer.outputs) for layer in layers]
    return [pair[::-1] for pair in pairs] if mirrored else pairs


def _read_encoder(model: SavedModel, block: int):
    """Weights, the model's outputs for test images, and lines of the report."""
    layers, images = _layers(block, False), _test_images()
    features, coordinates = model.encode(images, block)
    codes = _codes(model, features, coordinates, images.shape)
    differences = []
    for order, chosen in orders(model.convolutions, _channels(layers, False)):
        params = _params(layers, chosen)
        for preprocessing in PREPROCESSINGS:
            ours, our_codes = _encode(params, preprocessing, block, images)
            difference = np.abs(ours - features).max() / np.abs(features).max()
            differences.append(float(difference))
            if not difference <= FEATURE_TOLERANCE:
                continue
            share = _share_that_differs(codes, our_codes)
            if share > SWITCH_TOLERANCE:
                raise UserError(
                    f"{model.folder} has our features but other maxima: {share:.1%} of "
                    "its indices differ"
                )
            origin = f"savedmodel:{model.folder.name}"
            weights = VGG19Weights(params, preprocessing, origin, arrays_sha256(params))
            lines = [
                *_table("encoder", model, layers, chosen, order),
                f"preprocessing inside: {preprocessing}",
                f"features: largest difference {difference:.2g} of the largest value",
                f"switches: {share:.2g} of them differ (equal values up to rounding)",
            ]
            return weights, (features, coordinates, codes), lines
    raise UserError(
        f"{model.folder} gives other features than a VGG19 encoder of block {block} "
        f"with its variables, in any order and preprocessing: the smallest difference "
        f"is {min(differences):.2g} of the largest value"
    )


def _read_decoder(model: SavedModel, block: int, inputs):
    """Variables, the config's section and lines of the report."""
    features, coordinates, codes = inputs
    theirs = model.decode(features, coordinates)
    layers, others = _layers(block, True), model.stored.others
    rms = np.asarray(others.get(FEATURE_RMS, np.ones(features.shape[3])), np.float32)
    if rms.shape != features.shape[3:]:
        raise UserError(
            f"{model.folder} holds a {FEATURE_RMS} of shape {rms.shape}, expected "
            f"{features.shape[3:]}"
        )
    section = {
        "normalize_features": bool((rms != 1).any()),
        "output_scale": float(others.get(OUTPUT_SCALE, 1.0)),
        "initial_output": 0.0,
        "upsampling": "unpool",
    }
    statistics = {STATISTICS: {FEATURE_RMS: rms}}
    scale = max(1.0, float(np.abs(theirs).max()) / 255)
    differences = []
    for order, chosen in orders(model.convolutions, _channels(layers, True)):
        variables = {"params": _params(layers, chosen)}
        if section["normalize_features"]:
            variables |= statistics
        module = UnpoolingDecoder(block, **section, convolution="xla")
        ours = jax.jit(module.apply)(variables, features, codes)[0]
        if ours.shape != theirs.shape:
            raise UserError(
                f"{model.folder} gives images of shape {theirs.shape}, expected "
                f"{ours.shape}"
            )
        difference = float(np.abs(ours - theirs).max())
        differences.append(difference)
        if difference <= OUTPUT_TOLERANCE * scale:
            lines = [
                *_table("decoder", model, layers, chosen, order),
                *(f"  {name}: {np.shape(others[name])}" for name in sorted(others)),
                f"images: largest difference {difference:.2g}, values up to "
                f"{np.abs(theirs).max():.4g}",
            ]
            return variables, section, lines
    raise UserError(
        f"{model.folder} gives other images than a decoder of block {block} with its "
        f"variables, in any order: the smallest of the largest differences is "
        f"{min(differences):.2g}; see docs/export.md for decoders that do not fit"
    )


def _table(kind, model, layers, chosen: Sequence[StoredConvolution], order):
    """Lines of the report: the variable of each layer."""
    lines = [f"{kind}: {model.folder.name}, {len(chosen)} convolutions, {order}"]
    for layer, convolution in zip(layers, chosen, strict=True):
        shape = "×".join(map(str, convolution.kernel.shape))
        names = f"{convolution.kernel_name}, {convolution.bias_name}"
        lines.append(f"  {layer.name}: {shape} from {names}")
    return lines


def _params(layers, chosen: Sequence[StoredConvolution]):
    return {
        layer.name: {"kernel": convolution.kernel, "bias": convolution.bias}
        for layer, convolution in zip(layers, chosen, strict=True)
    }


def _encode(params, preprocessing, block, images):
    module = VGG19Encoder(block, preprocessing, convolution="xla")
    features, intermediates = jax.jit(module.apply)({"params": params}, images)
    return np.asarray(features), [np.asarray(c) for c in intermediates["switches"]]


def _encode_ourselves(weights: VGG19Weights, block: int):
    images = _test_images()
    features, codes = _encode(weights.params, weights.preprocessing, block, images)
    coordinates = [
        codes_to_coordinates(code, shape)
        for code, shape in zip(codes, _pooled_shapes(images, codes), strict=True)
    ]
    return features, coordinates, codes


def _pooled_shapes(images, codes):
    for pool, code in enumerate(codes):
        n, height, width, _ = images.shape
        yield (n, height >> pool, width >> pool, code.shape[3])


def _codes(model, features, coordinates, shape):
    """Window codes of the model's indices, checked row by row."""
    layers, codes = convolutions_up_to(len(coordinates) + 1), []
    for pool, rows in enumerate(coordinates):
        channels = next(x.outputs for x in layers if x.block == pool + 1)
        pooled = (shape[0], shape[1] >> pool, shape[2] >> pool, channels)
        try:
            codes.append(coordinates_to_codes(rows, pooled))
        except ValueError as error:
            raise UserError(
                f"the indices of pool {pool + 1} of {model.folder} are not rows "
                f"(photo, y, x, channel) of its maxima: {error}"
            ) from error
    return codes


def _share_that_differs(codes, ours) -> float:
    total = sum(code.size for code in codes)
    wrong = sum(int((a != b).sum()) for a, b in zip(codes, ours, strict=True))
    return wrong / total if total else 0.0


def _test_images() -> np.ndarray:
    """(2, 64, 96, 3) in [0, 255]: coarse patches, and noise in which nothing ties."""
    generator = np.random.default_rng(0)
    patches = generator.uniform(0, 255, (2, 8, 12, 3)).repeat(8, axis=1)
    images = patches.repeat(8, axis=2) + generator.normal(0, 20, (2, 64, 96, 3))
    return images.clip(0, 255).astype(np.float32)
