"""The same as configs/unpooling/block4.py, under a shorter path."""

from configs.unpooling.block4 import get_config as get_config
