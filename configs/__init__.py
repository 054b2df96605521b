"""One file per experiment, the record of its source, data, result and command."""
