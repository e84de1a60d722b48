"""Sphinx configuration; ``make docs`` builds the site.

Nothing is fetched: no inventories, no fonts, no scripts. Set
SEURAT_DOCS_INTERSPHINX=1 to link the names of other packages where there is a network.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "_ext"))

OPTIONAL_PAGES = ("explorer", "plots", "napari", "napari-work", "large", "speed")
"""Pages that have a place in a table of contents and need not be there."""

from notebook_pages import gather_notebooks, rewrite_links  # noqa: E402
from sphinx_autosummary_accessors import templates_path as accessor_templates  # noqa: E402

from seurat_tracks import __version__  # noqa: E402

project = "seurat-tracks"
author = "the seurat-tracks authors"
copyright = "the seurat-tracks authors, Apache-2.0"
release = version = __version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_autosummary_accessors",
    "sphinx_copybutton",
    "sphinx_design",
    "command_line",
]
exclude_patterns = ["_ext", "_static", "_templates", "pictures", "*.py"]
nitpicky = True
nitpick_ignore_regex = [
    # Names of other packages, which only their inventories could resolve.
    (
        r"py:.*",
        r"(np|numpy|xr|xarray|pd|pandas|dask|torch|nn|pathlib|collections|os|typing"
        r"|matplotlib|PIL|av|cv2|napari|ipywidgets|anywidget)\..*",
    ),
    (
        r"py:.*",
        r"(Path|PathLike|Any|Callable|Iterable|Iterator|Mapping|Sequence|Tensor|Axes"
        r"|Axes3D|Figure|optional|array.*|dict\[.*|Literal.*|NoneType)",
    ),
    # Aliases of types, spelled out where they are used; names known to type checkers
    # alone, which are documented under their full name.
    (r"py:class", r"(.*\.)?(Affine|Anchor|Assume|Fuse|Kind|Progress)"),
    (r"py:class", r"[A-Z]\w*"),
    # Names in docstrings that the reference does not list are shown as they are.
    (r"py:obj", r".*"),
]

# -- Markdown and notebooks ------------------------------------------------------------

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # make docs executes them, through a cache
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_cache_path = str(ROOT / "build" / "jupyter_cache")
# The player of widgets would come from another host; pictures stand in for it.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", 100),
]

# -- The reference ---------------------------------------------------------------------

templates_path = ["_templates", accessor_templates]
# A name in single backticks is a link where the reference has it.
default_role = "autolink"
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False

if os.environ.get("SEURAT_DOCS_INTERSPHINX") == "1":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "xarray": ("https://docs.xarray.dev/en/stable", None),
        "dask": ("https://docs.dask.org/en/stable", None),
        "napari": ("https://napari.org/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
    }

# -- The site --------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": html_title},
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "search_bar_text": "Search",
    "show_prev_next": True,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_start": ["copyright"],
    "footer_center": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": [], "changelog": []}

linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_anchors = False
linkcheck_ignore = [r"https?://(localhost|127\.0\.0\.1).*"]


def drop_absent(app: object, docname: str, content: list[str]) -> None:
    """Take optional pages that are not there out of the tables of contents."""
    for name in OPTIONAL_PAGES:
        if not (HERE / f"{name}.md").is_file():
            content[0] = content[0].replace(f"\n{name}\n", "\n")


def setup(app: object) -> None:
    """Bring the notebooks in before Sphinx looks for pages."""
    app.connect("source-read", drop_absent)  # type: ignore[attr-defined]
    app.connect("builder-inited", gather_notebooks, priority=100)  # type: ignore[attr-defined]
    app.connect("source-read", rewrite_links)  # type: ignore[attr-defined]
