"""Formats of pictures by the extensions of their files, those not read among them.

Pillow reads and writes them, HEIC with the package pillow-heif (the extra `[heif]`).
Files are not trusted: formats for which Pillow starts other programs (EPS) are not
here.
"""

from collections.abc import Iterable

from PIL import features

try:
    import pillow_heif
except ModuleNotFoundError:
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

# Pillow's names. MPO (the JPEG of many phones) belongs to its JPEG reader.
FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jfif", ".jpe"), "JPEG"),
    ".png": "PNG",
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    ".webp": "WEBP",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    ".gif": "GIF",
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
    **dict.fromkeys((".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), "JPEG2000"),
    ".avif": "AVIF",
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF"),
}
# Of files that are photos to their owners, and that nothing here reads.
OTHER_SUFFIXES = (
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw"),
    *(".exr", ".hdr", ".jxl", ".jxr", ".psd", ".svg", ".tga"),
)
_FEATURES = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}
_NAMED = 3  # files in a sentence


def is_built(name: str) -> bool:
    """Whether a format of `FORMATS` can be read here; builds of Pillow differ."""
    if name == "HEIF":
        return pillow_heif is not None
    feature = _FEATURES.get(name)
    known = {**features.modules, **features.codecs}
    return feature is None or (feature in known and bool(features.check(feature)))


# Extensions of photos in folders and zip files, and what Pillow may open them as.
PHOTO_SUFFIXES = tuple(suffix for suffix, name in FORMATS.items() if is_built(name))
PILLOW_FORMATS = (*dict.fromkeys(FORMATS[suffix] for suffix in PHOTO_SUFFIXES), "DIB")

_WRITTEN = {"WEBP": "WebP", "JPEG2000": "JPEG 2000", "HEIF": "HEIC"}


def format_names() -> str:
    """The formats that are read here, for a sentence."""
    return ", ".join(_WRITTEN.get(name, name) for name in PILLOW_FORMATS[:-1])


_UNREADABLE = tuple({*FORMATS, *OTHER_SUFFIXES} - {*PHOTO_SUFFIXES})


def is_unreadable(name: str) -> bool:
    """Whether a file's name is that of a photo in a format that is not read here."""
    return name.lower().endswith(_UNREADABLE)


def left_out(names: Iterable[str]) -> str:
    """A sentence about photos in formats that are not read here; empty for none."""
    names = sorted(names)
    if not names:
        return ""
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    heif = [suffix for suffix in FORMATS if FORMATS[suffix] == "HEIF"]
    hint = ""
    if any(name.lower().endswith(tuple(heif)) for name in names):
        hint = "; HEIC needs a package: pip install pillow-heif"
    return f"{len(names)} photos in formats that are not read here: {shown}{hint}"
