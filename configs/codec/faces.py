"""Codec of face photos of 64 to 128 pixels, released as `codec-faces`.

Data: 2,229 photos of faces, 1,229 of CelebA's test part (crops of about 200 pixels,
reduced to 128²) and 1,000 of LFW's training part (their centre 176²); 95 % of them for
training. At 64 pixels, 70 % of the steps, JPEG sources are reduced by 1.6 or more; at
128 pixels crops of LFW are hardly reduced, or enlarged. Hardware: two cores of a shared
AMD EPYC server, 47 minutes beside other programs.
Results on test photos: docs/codec.md.

    ./launch.sh train --config=configs/codec/faces.py --workdir=runs/codec-faces \
        --config.data.source=folder:FACES

Variant: `:runlocal` (seconds on a CPU, without any file).
"""

import ml_collections

from configs.codec import base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    config = base.make_config("folder:faces", variant)
    if not variant:
        config.num_steps = 10_000
        config.data.stages = ((0.7, 128, 4),)
    return config
