"""What `experiments/benchmark.py` measures, and the peers that it is measured against.

A suite is a module with `measure(settings, peers, report)`. Peers (torch, TensorFlow)
live here alone: the library does not know them, and each is imported where it is used.
"""
