"""Errors that belong to no single folder."""


class ConfigError(ValueError):
    """A config that is missing, broken, another than the run's, or of no use."""
