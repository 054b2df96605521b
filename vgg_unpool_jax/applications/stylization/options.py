"""The names among which users choose, apart from what computes: --help lists them."""

# Of what is added to the photo; the others smooth the stylised image.
DIFFERENCE = "difference"
LUT = "lut"  # the photo through a table of colours that is fitted to the result
GUIDED = "guided"
SMOOTHINGS = (DIFFERENCE, LUT, GUIDED, "matting", "none")
TRANSFORMS = ("wct", "ot", "adain")
# Blocks at whose conv2 features are moved in one pass.
LEVELS = (4, 3, 2, 1)
# Larger photos are stylised at this longer side in pixels if nothing else is said.
MAX_SIDE = 1024
# Share of a change of colour that faces do not take.
KEEP_FACES = 0.8
# Regions that are looked for in photos without masks if nothing else is said.
AUTOMATIC_REGIONS = 3
