"""The experiment of configs/unpooling/block5.py, under a shorter path."""

from configs.unpooling.block5 import get_config as get_config
