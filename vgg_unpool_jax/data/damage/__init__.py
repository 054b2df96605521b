"""Damages of photos: one grammar for training, evaluation and commands."""

from vgg_unpool_jax.data.damage.grammar import Damage, Damaged, make_damage

__all__ = ["Damage", "Damaged", "make_damage"]
