"""The directive ``command-line``: the program's commands, read from the program.

What ``--help`` says is what the page says.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import typer.main
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

MARKUP = re.compile(r"(?<!\\)\[/?(bold|italic|dim)\]")


def plain(text: str | None) -> str:
    """Take the terminal's markup out of a help text."""
    return MARKUP.sub("", text or "").replace("\\[", "[").replace("\b", "").strip()


def inline(text: str | None) -> str:
    """Make a help text safe inside a table of reStructuredText."""
    text = re.sub(r"([*`|_\\])", r"\\\1", " ".join(plain(text).split()))
    return re.sub(r"(?<!\w)(--[a-z][a-z-]*)", r"``\1``", text)


def value_of(parameter: Any) -> str:
    """Say what an option or argument takes.

    Typer brings a click of its own since 0.25, with other names inside; only what both
    have is used.
    """
    if parameter.metavar:
        return str(parameter.metavar)
    kind = getattr(parameter, "bare_type", None)
    choices = getattr(getattr(parameter, "type", None), "choices", None)
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = [member.value for member in kind]
    if choices:
        return "|".join(str(getattr(c, "value", c)) for c in choices)
    return str(parameter.name).upper()


def parameter_row(parameter: Any) -> tuple[str, str]:
    """Name with its value, and meaning, of an option or argument."""
    meaning = inline(getattr(parameter, "help", None))
    if parameter.param_type_name == "argument":
        return f"``{value_of(parameter)}``", meaning
    name = ", ".join(f"``{n}``" for n in [*parameter.opts, *parameter.secondary_opts])
    if not getattr(parameter, "is_flag", False):
        name += f" ``{value_of(parameter)}``"
        default = getattr(parameter.default, "value", parameter.default)
        if isinstance(default, str | int | float) and default != "":
            meaning += f" Default: ``{default}``."
    return name, meaning + (" Required." if parameter.required else "")


def describe(name: str, command: Any, program: str) -> list[str]:
    """Write a section on one command, as lines of reStructuredText."""
    paragraphs = re.split(r"\n\s*\n", plain(command.help))
    lines = [name, "-" * len(name), ""]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(
        value_of(p) if p.required else f"[{value_of(p)}]" for p in arguments
    )
    lines += ["::", "", f"    {program} {name} [OPTIONS] {usage}".rstrip(), ""]
    examples: list[str] = []
    for paragraph in paragraphs:
        text = "\n".join(line.strip() for line in paragraph.splitlines())
        if text.startswith(program):
            examples += ["    " + line for line in text.splitlines()]
            continue
        if examples:
            lines += ["::", "", *examples, ""]
            examples = []
        lines += [inline(text) + ("" if text != "Examples" else ":"), ""]
    if examples:
        lines += ["::", "", *examples, ""]
    lines += [".. list-table::", "   :widths: 35 65", ""]
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        left, right = parameter_row(parameter)
        lines += [f"   * - {left}", f"     - {right}"]
    return [*lines, ""]


class CommandLine(SphinxDirective):
    """``command-line``: every command of ``seurat-tracks``, a section each."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Describe the program's commands."""
        from seurat_tracks.cli import app

        group: Any = typer.main.get_command(app)
        lines: list[str] = []
        for name, command in group.commands.items():
            lines += describe(name, command, "seurat-tracks")
        return self.parse_text_to_nodes(
            StringList(lines, source="seurat_tracks/cli.py"),  # type: ignore[arg-type]
            allow_section_headings=True,
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
