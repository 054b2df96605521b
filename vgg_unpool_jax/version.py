"""Version of the package, read by the build and written into result files."""

__version__ = "0.1.0"
