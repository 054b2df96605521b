"""Fit the map that finds faces in features of VGG19's block5_conv2.

    python -m results.faces --faces=ZIP --photos=FOLDER

Faces are those of a ZIP file of LFW (deep-funneled, 250 × 250), whose middle 180 pixels
are enlarged, or pasted at 80 to 220 pixels into photos of 320 pixels; the cells of an
ellipse in the middle are faces, those of photos are none. Writes
vgg_unpool_jax/applications/stylization/faces.safetensors and prints how well a quarter
of the pictures, which are left out of the fit, are told apart.
"""

import argparse
import io
import pathlib
import zipfile

import numpy as np
import safetensors.numpy
from PIL import Image

from vgg_unpool_jax.applications.stylization.automatic_regions import unit_features
from vgg_unpool_jax.applications.stylization.faces import WEIGHTS
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.systems.unpooling.pair import load_encoder

_SIDE, _STRIDE = 320, 16
_BORDER = 35  # of LFW's photos, black where they were turned


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("python -m results.faces", description=__doc__)
    parser.add_argument("--faces", required=True, type=pathlib.Path)
    parser.add_argument("--photos", required=True, type=pathlib.Path)
    parser.add_argument("--vgg19")
    parser.add_argument("--pictures", type=int, default=240)
    options = parser.parse_args()
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    encoder, rng = load_encoder(5, options.vgg19), np.random.default_rng(0)
    photos = sorted(options.photos.rglob("*.jpg"))
    found = []
    with zipfile.ZipFile(options.faces) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]

        def draw_face() -> Image.Image:
            name = names[rng.integers(len(names))]
            image = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            return image.crop((_BORDER, _BORDER, 250 - _BORDER, 250 - _BORDER))

        def draw_photo() -> Image.Image:
            image = Image.open(photos[rng.integers(len(photos))]).convert("RGB")
            factor = _SIDE / min(image.size) * rng.uniform(1, 1.5)
            size = [max(_SIDE, round(side * factor)) for side in image.size]
            left, top = (int(rng.integers(side - _SIDE + 1)) for side in size)
            image = image.resize(size, Image.Resampling.BICUBIC)
            return image.crop((left, top, left + _SIDE, top + _SIDE))

        for number in range(options.pictures):
            image, labels = _draw(number % 3, draw_face, draw_photo, rng)
            features = encoder.encode(np.asarray(image, np.float32)[None])[0][0]
            known = labels >= 0
            features = unit_features(np.asarray(features, np.float32))
            found.append((features[known], labels[known]))
    kept = round(0.75 * len(found))
    parts = [found[:kept], found[kept:]]
    (x, y), (others, truth) = (map(np.concatenate, zip(*p, strict=True)) for p in parts)
    # Features of length 1 are small: a weak penalty.
    fit = LogisticRegression(C=5.12, max_iter=500).fit(x, y)
    shares = fit.predict_proba(others)[:, 1]
    print(f"area under the curve: {roc_auc_score(truth, shares):.4f}")
    print(f"faces found at 0.5: {(shares[truth == 1] > 0.5).mean():.3f}")
    print(f"others taken for faces: {(shares[truth == 0] > 0.5).mean():.3f}")
    weights = {"weights": fit.coef_[0], "bias": fit.intercept_[0]}
    weights = {name: np.float32(array) for name, array in weights.items()}
    with replacing(WEIGHTS) as file:
        file.write(safetensors.numpy.save(weights))


def _draw(kind, draw_face, draw_photo, rng) -> tuple[Image.Image, np.ndarray]:
    """A picture, and its cells: 1 of a face, 0 of none, -1 not known."""
    grid = (np.mgrid[: _SIDE // _STRIDE, : _SIDE // _STRIDE] + 0.5) * _STRIDE
    labels = np.zeros(grid.shape[1:], np.int8)
    if kind == 0:
        side = int(rng.uniform(1.0, 2.2) * _SIDE)
        left = top = -((side - _SIDE) // 2)
        image = draw_face().resize((side, side), Image.Resampling.BICUBIC)
        image = image.crop((-left, -top, _SIDE - left, _SIDE - top))
    else:
        image = draw_photo()
        if kind == 2:
            return image, labels
        side = int(rng.uniform(80, 220))
        left, top = (int(rng.integers(_SIDE - side + 1)) for _ in range(2))
        face = draw_face().resize((side, side), Image.Resampling.BICUBIC)
        image.paste(face, (left, top))
    rows, columns = (grid[0] - top) / side, (grid[1] - left) / side
    inside = (np.abs(rows - 0.5) < 0.6) & (np.abs(columns - 0.5) < 0.6)
    labels[inside] = -1
    if kind == 0:
        beside = ((columns - 0.5) / 0.45) ** 2 + ((rows - 0.45) / 0.5) ** 2 > 1
        labels[inside & beside & (rows < 0.6)] = 0
    labels[((columns - 0.5) / 0.27) ** 2 + ((rows - 0.5) / 0.36) ** 2 < 1] = 1
    return image, labels


if __name__ == "__main__":
    main()
