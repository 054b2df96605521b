"""Photos at a smaller size for style transfer, and results brought back to theirs."""

import numpy as np
from PIL import Image


def reduce_to_side(photo: np.ndarray, side: int) -> np.ndarray:
    """Reduce a uint8 (h, w, 3) photo whose longer side exceeds `side`; 0: none does."""
    longest = max(photo.shape[:2])
    if not side or longest <= side:
        return photo
    height, width = (max(1, round(n * side / longest)) for n in photo.shape[:2])
    image = Image.fromarray(photo).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def enlarge_to_size(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring float (h, w, 3) to another size, without rounding to whole numbers."""
    if image.shape[:2] == (height, width):
        return image
    size, how = (width, height), Image.Resampling.BICUBIC
    channels = [
        np.asarray(Image.fromarray(channel).resize(size, how))
        for channel in np.moveaxis(np.asarray(image, np.float32), 2, 0)
    ]
    return np.stack(channels, axis=2)
