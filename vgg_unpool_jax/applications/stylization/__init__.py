"""Photorealistic style transfer on arrays: regions, statistics, smoothing."""
