"""The experiment of configs/unpooling/block1.py, under a shorter path."""

from configs.unpooling.block1 import get_config as get_config
