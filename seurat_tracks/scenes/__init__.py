"""Procedural moving scenes with exact tracks, visibility and depth.

Training needs point motion only, so nothing is rendered: rays are cast against moving
primitives, all in batched torch on any device.
"""
