"""The experiment of configs/vae/food101.py, under a shorter path."""

from configs.vae.food101 import get_config as get_config
