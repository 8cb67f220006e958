"""Students, one training framework per file; modules with `_` are parts of `transformers`."""
