"""Make the input folder of run.sh; see pack.sh."""

import argparse
import io
import pathlib
import shutil
import subprocess
import sys

import h5py
from PIL import Image

from configs.unpooling import base
from vgg_unpool_jax.data import Split, open_splits
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.pretrained.conversion import save_weights
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights

# Packages of requirements.txt that an image for PyTorch and JAX lacks, and what they
# need beyond it.
WHEELS = (
    "array-record",
    "dm-pix",
    "grain",
    "ml-collections",
    "platformdirs",
    "pooch",
    "portpicker",
)
_PLATFORMS = ("2_28", "2_27", "2_24", "2_17")
_QUALITY = 80  # of WebP
_SHORT_SIDE = 256


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("pack.sh", description=__doc__)
    parser.add_argument("--photos", required=True, help="folder of training photos")
    parser.add_argument("--weights", required=True, help="VGG19 weights")
    parser.add_argument("--output", required=True, type=to_path)
    parser.add_argument("--megabytes", type=float, default=60.0, help="at most, 2^20")
    parser.add_argument("--python", default="3.12", help="of that machine")
    options = parser.parse_args()
    data = base.make_config(1).data
    data.source = f"folder:{options.photos}"
    try:
        splits = open_splits(data)
        weights = load_vgg19_weights(options.weights)
        options.output.mkdir(parents=True)
    except (UserError, FileExistsError) as error:
        raise SystemExit(f"pack.sh: {error}") from error
    pack_weights(weights, options.output / "vgg19.h5")
    download_wheels(options.output / "wheels", options.python)
    # All photos to validate on, and of those to train on as many as fit.
    for name in ("validation", "train"):
        used = sum(path.stat().st_size for path in options.output.rglob("*.*"))
        left = options.megabytes * 2**20 - used
        count = pack_photos(splits[name], options.output / name, left)
        print(f"{name}: {count} of {len(splits[name].indices)} photos")


def pack_weights(weights: VGG19Weights, path: pathlib.Path) -> None:
    """Write the layers that encoders use, compressed without loss."""
    plain = path.with_suffix(".plain.h5")
    save_weights(weights, plain)
    with h5py.File(plain) as old, h5py.File(path, "w") as new:
        for key, value in old.attrs.items():
            new.attrs[key] = value

        def copy(name, item):
            if isinstance(item, h5py.Group):
                group = new.require_group(name)
                for key, value in item.attrs.items():
                    group.attrs[key] = value
            else:
                # Bytes are grouped by their place, except in kernels of few values.
                values, scratch = item[()], io.BytesIO()
                with h5py.File(scratch, "w") as trial:
                    sizes = {
                        shuffle: _compress(trial, str(shuffle), values, shuffle)
                        for shuffle in (False, True)
                    }
                _compress(new, name, values, min(sizes, key=sizes.get))

        old.visititems(copy)
    plain.unlink()


def _compress(file: h5py.File, name: str, values, shuffle: bool) -> int:
    """Write a dataset; its size in bytes."""
    options = {"compression": "gzip", "compression_opts": 9} if values.ndim else {}
    dataset = file.create_dataset(name, data=values, shuffle=shuffle, **options)
    return dataset.id.get_storage_size()


def download_wheels(folder: pathlib.Path, python: str) -> None:
    """Wheels for 64-bit Linux, without their dependencies."""
    platforms = [f"--platform=manylinux_{version}_x86_64" for version in _PLATFORMS]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", f"--python-version={python}"]
    command += ["--implementation=cp", "--platform=manylinux2014_x86_64", *platforms]
    subprocess.run([*command, f"--dest={folder}", *WHEELS], check=True)


def pack_photos(photos: Split, folder: pathlib.Path, size: float) -> int:
    """Write photos with a short side of at most 256 until `size` bytes are used.

    They are taken evenly from the whole source where not all fit.

    Returns:
      Number of photos.
    """
    folder.mkdir()
    encoded = [_encode(photos.source[int(index)]) for index in photos.indices]
    share = min(1.0, size / sum(map(len, encoded)))
    if share <= 0:
        shutil.rmtree(folder)
        raise SystemExit("pack.sh: --megabytes leaves no room for photos")
    count = 0
    for index, content in enumerate(encoded):
        if int((index + 1) * share) > count:
            (folder / f"{index:06d}.webp").write_bytes(content)
            count += 1
    return count


def _encode(photo) -> bytes:
    image = Image.fromarray(photo)
    shrink = _SHORT_SIDE / min(image.size)
    if shrink < 1:
        sides = [max(_SHORT_SIDE, round(shrink * side)) for side in image.size]
        image = image.resize(sides, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
