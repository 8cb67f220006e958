"""Objectives, one per file: the loss that a student learns from."""
