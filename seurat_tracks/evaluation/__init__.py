"""Measure lifted tracks against the truth."""
