"""Tests marked ``napari`` need napari, a Qt binding and a display."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [m for m in ("napari", "pytestqt") if find_spec(m) is None]
    display = os.environ.get("DISPLAY") or os.name == "nt"
    why = f"{', '.join(missing)} is not installed" if missing else ""
    if not missing and not display:
        why = "there is no display: run under xvfb-run"
    for item in items:
        here = "napari_plugin" in item.path.parts
        if why and here and item.get_closest_marker("napari"):
            item.add_marker(pytest.mark.skip(reason=why))
