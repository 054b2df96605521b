"""The speed of this library beside other programs.

A suite is a module with `measure(report)`. Peers (torch, TensorFlow) are imported by
functions of this folder only, and at the top of `torch_*.py` and `tensorflow_*.py`.
"""
