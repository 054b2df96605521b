"""The experiment of configs/vae/coco.py, under a shorter path."""

from configs.vae.coco import get_config as get_config
