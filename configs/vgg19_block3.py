"""The experiment of configs/unpooling/block3.py, under a shorter path."""

from configs.unpooling.block3 import get_config as get_config
