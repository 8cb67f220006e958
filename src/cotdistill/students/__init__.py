"""What learns: one training framework per file; modules that begin with `_` are parts of `transformers`."""
