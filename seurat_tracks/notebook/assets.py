"""The explorer's script and style sheet, as text.

The script is written as small ES modules. A widget and a page of its own each take one
text, so the modules are laid one after another, without their imports and exports.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_CORE = (
    "core",
    "box",
    "plot",
    "reel",
    "theme",
    "controls",
    "pointer",
    "draw_flat",
    "draw_gl",
    "stage",
    "app",
)
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./\w+\.mjs";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const)\b)", re.MULTILINE)


@cache
def script(entry: str) -> str:
    """Join the modules that an entry needs.

    Parameters
    ----------
    entry
        "widget", whose default export anywidget renders, or "page", which starts
        itself.

    Returns
    -------
    str
        One ES module without imports.
    """
    folder = files("seurat_tracks.notebook").joinpath("web")
    texts = [folder.joinpath(f"{n}.mjs").read_text("utf-8") for n in (*_CORE, entry)]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in texts)


@cache
def style() -> str:
    """Give the style sheet."""
    folder = files("seurat_tracks.notebook").joinpath("web")
    return folder.joinpath("explorer.css").read_text("utf-8")
