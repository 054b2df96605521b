"""The experiment of configs/unpooling/block2.py, under a shorter path."""

from configs.unpooling.block2 import get_config as get_config
