"""Edits of photos in the feature space of a pair: encode, change, decode.

Photos are (h, w, 3) RGB in [0, 255] of any size and real dtype; sides that are no
multiple of 2^(block-1) are padded by reflection and cropped back, as
`Pair.reconstruct` does. Pictures are float32 (n, h, w, 3) clipped to [0, 255]. They are
decoded one by one by one compiled program, however many there are.
"""

from vgg_unpool_jax.editing.chain import Chain, reencode
from vgg_unpool_jax.editing.directions import (
    PrincipalDirections,
    drop_directions,
    principal_directions,
    scale_directions,
)
from vgg_unpool_jax.editing.photo_pairs import (
    SWITCHES,
    interpolate,
    swap_switches,
    switch_agreement,
)
from vgg_unpool_jax.editing.photos import (
    decode_photo_features,
    edit_features,
    encode_photo,
    limit_side,
    match_size,
)

__all__ = [
    "SWITCHES",
    "Chain",
    "PrincipalDirections",
    "decode_photo_features",
    "drop_directions",
    "edit_features",
    "encode_photo",
    "interpolate",
    "limit_side",
    "match_size",
    "principal_directions",
    "reencode",
    "scale_directions",
    "swap_switches",
    "switch_agreement",
]
