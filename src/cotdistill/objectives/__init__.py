"""What a student learns from an example: one objective per file."""
