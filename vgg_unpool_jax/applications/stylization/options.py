"""The names among which users choose, apart from what computes: --help lists them."""

# Of what is added to the photo; the others smooth the stylised image.
DIFFERENCE = "difference"
SMOOTHINGS = (DIFFERENCE, "guided", "matting", "none")
TRANSFORMS = ("wct", "ot", "adain")
# Blocks at whose conv2 features are moved in one pass.
LEVELS = (4, 3, 2, 1)
