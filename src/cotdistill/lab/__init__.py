"""The embedded default: generated tasks, and weights of a small teacher and a small student base
(`checkpoints.bundled`).
"""
