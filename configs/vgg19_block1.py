"""x."""

from configs import unpooling


def get_config(variant: str = ""):
    return unpooling.make_config(1, variant)
