"""Trained decoders in single files that travel, some of them inside this package.

`registry` knows those that go by a name, `model_config` those in a model folder.

A file is a `.safetensors` with the variables of an `UnpoolingDecoder` under names such
as "params/block1_conv1/kernel"; `storage` says in which number types, and
`release_metadata` what stands in its metadata.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import safetensors
import safetensors.numpy

from vgg_unpool_jax.errors import ReleaseError, first_line
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import check_reachable, is_remote, local_path, to_path
from vgg_unpool_jax.nets.convolution import AUTO
from vgg_unpool_jax.nets.vgg19_layers import (
    CHANNELS_PER_BLOCK,
    check_block,
    convolutions_up_to,
)
from vgg_unpool_jax.pretrained.vgg19 import arrays_sha256
from vgg_unpool_jax.releases import hub, registry, storage
from vgg_unpool_jax.releases.model_config import find_model_file
from vgg_unpool_jax.releases.release_metadata import METADATA_KEY, parse, render
from vgg_unpool_jax.systems.unpooling.decoder import UnpoolingDecoder

DTYPES = storage.DTYPES
SUFFIX = ".safetensors"

# A safetensors file: the length of its header in eight bytes, then JSON. The format
# limits the header to 100 MB.
_HEADER_LIMIT = 100_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class ReleasedDecoder:
    """What a file holds.

    Attributes:
      variables: collection -> layer -> array, all float32, for `decoder.apply`.
      metadata: see `release_metadata`.
    """

    variables: Mapping[str, Any]
    metadata: Mapping[str, Any]


def released_names() -> tuple[str, ...]:
    """Names of the decoders inside this package, such as "vgg19-block1", sorted."""
    releases = registry.read_registry(registry.PACKAGE_FOLDER).releases
    return tuple(
        sorted(
            name
            for name, release in releases.items()
            if (registry.PACKAGE_FOLDER / release.file).is_file()
        )
    )


def find_release(target: str | os.PathLike) -> pathlib.Path | None:
    """Tell whether a released decoder is meant, and where its file is.

    What is not on this machine is fetched: by its name from the address in its
    registry, with "hf:" from the Hugging Face Hub.

    Args:
      target: a folder; a path that ends in `.safetensors`; a name that begins with
        "vgg19-", see `registry`; or "hf:OWNER/NAME" or "hf:OWNER/NAME@REVISION". A path
        that exists goes before a name.

    Returns:
      The file, which need not exist where it was named by its path; that inside a model
      folder, see `model_config`; None where the target is no released decoder, so that
      it can be a workdir only.
    """
    name = os.fspath(target)
    if isinstance(name, str) and hub.is_spec(name):
        return find_model_file(hub.download_repository(name), is_model=True)
    path = to_path(target)
    check_reachable(path)
    if path.is_dir() and not is_remote(path):
        return find_model_file(path)
    if path.suffix == SUFFIX:
        return path
    if path.exists() or not registry.NAME.fullmatch(name):
        return None
    return registry.locate(*find_entry(name))


def find_entry(name: str) -> tuple[registry.Release, registry.Registry]:
    """What the registries say of a name, and the one that says it."""
    known = registry.known_releases()
    if name not in known:
        there = ", ".join(known) or "none comes with this package"
        raise ReleaseError(
            f"there is no workdir and no released decoder {name}; released decoders: "
            f"{there}"
        )
    return known[name]


def encoder_sha256(params: Mapping[str, Mapping[str, Any]], block: int) -> str:
    """Digest of the VGG19 layers that a pair uses, whatever else their file holds.

    Args:
      params: layer name -> {"kernel", "bias"}, with all layers up to blockX_conv2.
      block: 1 to 5, the X.
    """
    layers = convolutions_up_to(block)
    return arrays_sha256({layer.name: params[layer.name] for layer in layers})


def write_decoder(
    path: str | os.PathLike,
    variables: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    vgg19: Mapping[str, str],
    encoder_sha256: str,
    step: int,
    dtype: str = "float32",
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write a decoder into one file, aside first and then renamed.

    Args:
      path: the file, ending in `.safetensors`; one that is there is replaced.
      variables: "params" and, where the decoder has them, "statistics".
      config: of the training run, with `encoder.block` and `decoder`. What looks like
        a path in it is cut down to its last part.
      vgg19: origin, sha256 and preprocessing of the VGG19 weights.
      encoder_sha256: what the function of that name says of them.
      step: number of training steps.
      dtype: of the stored parameters, one of `DTYPES`; statistics stay float32. "int8"
        is for the 3×3 kernels, with a float32 scale per output channel; releases of
        this library before that refuse the file.
      facts: what else is to be told, in the types of JSON and without paths; photo
        sources among them are cut down as in the config.
    """
    path = to_path(path)
    if path.suffix != SUFFIX:
        raise ReleaseError(f"a decoder's file must end in {SUFFIX}, got {path}")
    flat = flax.traverse_util.flatten_dict(variables, sep="/")
    tensors = storage.pack(flat, dtype)
    block = config["encoder"]["block"]
    shapes = {name: array.shape for name, array in tensors.items()}
    _check_fit("the variables", shapes, block, config["decoder"], dtype)
    text = render(
        block=block,
        config=config,
        vgg19=vgg19,
        encoder_sha256=encoder_sha256,
        step=int(step),
        dtype=dtype,
        arrays_sha256=storage.digest(tensors),
        facts=facts or {},
    )
    try:
        with replacing(path) as file:
            file.write(safetensors.numpy.save(tensors, {METADATA_KEY: text}))
    except OSError as error:
        raise ReleaseError(
            f"the decoder cannot be written to {path} ({first_line(error)})"
        ) from error


def read_decoder(path: str | os.PathLike) -> ReleasedDecoder:
    """Read a file that `write_decoder` made.

    Args:
      path: the file; see `find_release` for those that go by a name.

    Returns:
      Variables as float32 NumPy arrays, and the metadata.
    """
    path = local_path(path)
    _check_kind(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = parse(path, file.metadata() or {})
            pieces = {name: file.get_slice(name) for name in file.keys()}
            shapes = {name: tuple(p.get_shape()) for name, p in pieces.items()}
            block, dtype = metadata["block"], metadata["dtype"]
            section = metadata["config"]["decoder"]
            _check_fit(f"the arrays of {path}", shapes, block, section, dtype)
            types = {name: piece.get_dtype() for name, piece in pieces.items()}
            storage.check_types(path, types, shapes, dtype)
            tensors = {name: file.get_tensor(name) for name in pieces}
    except ReleaseError:
        raise
    # safetensors answers damage with SafetensorError, OSError, ValueError, TypeError
    # and others; to the user all of them mean the same.
    except Exception as error:
        raise ReleaseError(
            f"{path} cannot be read as a safetensors file, it is damaged or incomplete "
            f"({first_line(error)})"
        ) from error
    floats = storage.unpack(path, tensors, dtype)
    if storage.digest(tensors) != metadata["arrays_sha256"]:
        raise ReleaseError(
            f"{path} was changed after it was written: its arrays do not have the "
            "SHA-256 that its metadata say"
        )
    return ReleasedDecoder(flax.traverse_util.unflatten_dict(floats, sep="/"), metadata)


def decoder_shapes(
    block: int, section: Mapping[str, Any]
) -> dict[str, tuple[int, ...]]:
    """Shapes of a decoder's variables by their names in a file.

    Args:
      block: 1 to 5.
      section: the section "decoder" of a config: fields of `UnpoolingDecoder`.
    """
    try:
        decoder = UnpoolingDecoder(
            check_block(block), dtype=jnp.float32, convolution=AUTO, **section
        )
        # Features of one pixel are the smallest input that there is.
        pixel = (1, 1, 1, CHANNELS_PER_BLOCK[block - 1])
        features = jax.ShapeDtypeStruct(pixel, jnp.float32)
        sides = [2 ** (block - 1 - pool) for pool in range(1, block)]
        switches = tuple(
            jax.ShapeDtypeStruct((1, side, side, channels), jnp.uint8)
            for side, channels in zip(sides, CHANNELS_PER_BLOCK, strict=False)
        )
        shapes = jax.eval_shape(decoder.init, jax.random.key(0), features, switches)
    # Flax answers a field of the wrong type with whatever its use in the module raises.
    except Exception as error:
        raise ReleaseError(
            f"the config describes no decoder of block {block!r} ({first_line(error)})"
        ) from error
    flat = flax.traverse_util.flatten_dict(shapes, sep="/")
    return {name: tuple(leaf.shape) for name, leaf in flat.items()}


def _check_fit(
    holder: str, found: Mapping, block: int, section: Mapping, dtype: str
) -> None:
    try:
        wanted = storage.stored_shapes(decoder_shapes(block, section), dtype)
    except ReleaseError as error:
        raise ReleaseError(f"{holder} cannot be checked, {error}") from error
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise ReleaseError(
                f"{holder} do not fit the decoder of block {block}: {name} is "
                f"{found.get(name, 'absent')}, wanted {wanted.get(name, 'absent')}"
            )


def _check_kind(path: pathlib.Path) -> None:
    try:
        if not path.exists():
            raise ReleaseError(f"there is no decoder file {path}")
        if not path.is_file():
            raise ReleaseError(f"{path} is no file, wanted a decoder's {SUFFIX}")
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise ReleaseError(f"{path} cannot be read ({reason})") from error
    length = int.from_bytes(head[:8], "little")
    if head[8:] != b"{" or length > _HEADER_LIMIT:
        raise ReleaseError(f"{path} is not a safetensors file")
