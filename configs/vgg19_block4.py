"""The experiment of configs/unpooling/block4.py, under a shorter path."""

from configs.unpooling.block4 import get_config as get_config
