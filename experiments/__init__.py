"""One file a command: parse flags, call the library, print."""
