"""Parts that methods and strategies share: `base` for most, `socratic` for the Socratic form."""
