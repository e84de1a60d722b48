"""Widgets of the plugin: the only place that imports Qt."""

from __future__ import annotations
