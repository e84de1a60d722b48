"""Tests of the plugin: those that open a viewer need napari and a display."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

needs_display = pytest.mark.skipif(
    find_spec("napari") is None
    or find_spec("pytestqt") is None
    or not os.environ.get("DISPLAY"),
    reason="needs napari, pytest-qt and a display (xvfb-run)",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("napari"):
            item.add_marker(needs_display)
