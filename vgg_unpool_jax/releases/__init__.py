"""Trained parameters of any system as single files: format, names, card, Hub."""
