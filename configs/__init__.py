"""One file an experiment; each is the record of it."""
