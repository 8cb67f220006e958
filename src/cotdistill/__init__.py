"""cotdistill: move the reasoning of a large language model into a small model you own, and measure what was gained."""

__version__ = "0.1.0"
