"""The commands, one idea a file; `register(app)` of each adds what it has."""
