"""Tracks -> log depth ratio: settings, windows and support, tasks, and their graph."""
