"""The reference holds every public name, verb and command."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import seurat_tracks
from seurat_tracks.accessor import SeuratAccessor

DOCS = Path(__file__).resolve().parents[2] / "docs"
VERBS = sorted(n for n in vars(SeuratAccessor) if not n.startswith("_"))


def listed(page: str) -> set[str]:
    """Names in the ``autosummary`` tables of a page, and explicit targets."""
    text = (DOCS / page).read_text("utf-8")
    tables = re.findall(r"\.\. autosummary::\n(?:   :.*\n)*\n((?:   \S+\n)+)", text)
    names = {line.strip() for table in tables for line in table.splitlines()}
    return names | set(re.findall(r"\.\. py:(?:module|data):: (\S+)", text))


@pytest.mark.parametrize("name", sorted(seurat_tracks.__all__))
def test_public_name(name):
    names = listed("api.rst")
    assert name in names or f"seurat_tracks.{name}" in names, (
        f"add {name} to a table of docs/api.rst"
    )


@pytest.mark.parametrize("verb", VERBS)
def test_verb(verb):
    found = listed("accessor.rst")
    assert any(
        n == f"Dataset.seurat.{verb}" or n.startswith(f"Dataset.seurat.{verb}.")
        for n in found
    ), f"add Dataset.seurat.{verb} to a table of docs/accessor.rst"


def test_verbs_that_are_gone_are_not_listed():
    for name in listed("accessor.rst"):
        if name.startswith("Dataset.seurat."):
            assert name.split(".")[2] in VERBS


def test_commands_come_from_the_program(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    monkeypatch.delitem(sys.modules, "command_line", raising=False)
    import command_line
    import typer.main

    from seurat_tracks.cli import app

    for name, command in typer.main.get_command(app).commands.items():
        lines = command_line.describe(name, command, "seurat-tracks")
        assert lines[:2] == [name, "-" * len(name)]
        text = "\n".join(lines)
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                assert f"``{parameter.opts[0]}``" in text
        assert "[bold]" not in text
    assert "command-line::" in (DOCS / "cli.rst").read_text("utf-8")
