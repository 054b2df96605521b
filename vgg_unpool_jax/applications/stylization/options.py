"""The names among which users choose, apart from what computes: --help lists them."""

SMOOTHINGS = ("guided", "matting", "none")
TRANSFORMS = ("wct", "ot", "adain")
