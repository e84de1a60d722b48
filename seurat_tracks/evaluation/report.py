"""The report of a benchmark, as Markdown and as one HTML file."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seurat_tracks.evaluation.benchmark import Run
from seurat_tracks.evaluation.published import BY_SCALING, FACTOR, PAPER

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("average_jaccard", "average_pts_within", "temporal_coherence")
"""What a cell of the table shows: 3D-AJ and APD in per cent, TC."""


@dataclass(frozen=True)
class Heading:
    """A heading; 1 is the title."""

    level: int
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table with a line of heads."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A PNG file beside the report."""

    path: Path
    text: str


Block = Heading | Text | Table | Picture


def write_report(run: Run, *, title: str = "") -> tuple[Path, Path]:
    """Write ``report.md`` and ``report.html`` into the folder of a run.

    Parameters
    ----------
    run
        From `seurat_tracks.evaluation.benchmark.run`.
    title
        Of the report.

    Returns
    -------
    tuple of Path
        The Markdown file, whose pictures lie in ``pictures/``, and the HTML file,
        which holds them.
    """
    blocks = list(_blocks(run, title or "Scores of 3D tracks"))
    markdown, page = run.out / "report.md", run.out / "report.html"
    markdown.write_text(as_markdown(blocks, run.out), "utf-8")
    page.write_text(as_html(blocks), "utf-8")
    return markdown, page


def average_over_sources(videos: pd.DataFrame, score: str) -> pd.DataFrame:
    """Average a score over each source's clips, and those over the sources.

    Parameters
    ----------
    videos
        Rows of one scaling.
    score
        A column.

    Returns
    -------
    pandas.DataFrame
        One line a method, in the order of `videos`; one column a source, in that
        order too, and "Average", NaN where a source has no score.
    """
    table = videos.pivot_table(
        index="method", columns="source", values=score, aggfunc="mean", sort=False
    )
    methods = videos["method"].unique()
    sources = videos["source"].unique()
    table = table.reindex(index=methods, columns=sources)
    table["Average"] = table.mean(axis=1, skipna=False)
    return table


def as_markdown(blocks: Sequence[Block], folder: Path) -> str:
    """Write blocks as Markdown; pictures are named relative to `folder`."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append("#" * block.level + " " + block.text)
        elif isinstance(block, Text):
            parts.append(block.text)
        elif isinstance(block, Picture):
            path = block.path.relative_to(folder).as_posix()
            parts.append(f"![{block.text}]({path})\n\n{block.text}")
        else:
            lines = [block.head, ["---"] * len(block.head), *block.rows]
            parts.append("\n".join(_line(cells) for cells in lines))
    return "\n\n".join(parts) + "\n"


def as_html(blocks: Sequence[Block]) -> str:
    """Write blocks as one HTML page that needs no other file."""
    body = []
    for block in blocks:
        if isinstance(block, Heading):
            body.append(f"<h{block.level}>{html.escape(block.text)}</h{block.level}>")
        elif isinstance(block, Text):
            body.append(f"<p>{html.escape(block.text)}</p>")
        elif isinstance(block, Picture):
            data = base64.b64encode(block.path.read_bytes()).decode("ascii")
            text = html.escape(block.text)
            body.append(
                f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
                f"<figcaption>{text}</figcaption></figure>"
            )
        else:
            body.append(_html_table(block))
    title = next((b.text for b in blocks if isinstance(b, Heading)), "Report")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n"
        "<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


_STYLE = """body { font: 16px/1.5 sans-serif; max-width: 75em; margin: 2em auto;
  padding: 0 1em; color: #222; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .25em .7em; border-bottom: 1px solid #ccc; text-align: left;
  white-space: nowrap; }
img { max-width: 100%; }
figure { margin: 1em 0; }
figcaption { color: #555; }
"""


def _blocks(run: Run, title: str) -> Iterator[Block]:
    from seurat_tracks._version import __version__
    from seurat_tracks.evaluation import report_pictures

    yield Heading(1, title)
    yield Text(f"seurat-tracks {__version__}. {run.settings['about']}.")
    yield from _protocol(run)
    if not len(run.videos):
        yield Text("Nothing could be scored.")
        return
    pictures = run.out / "pictures"
    pictures.mkdir(exist_ok=True)
    main = str(run.videos["method"].iloc[0])
    for scaling in run.settings["scalings"]:
        videos = run.videos[run.videos["scaling"] == scaling]
        yield Heading(2, f"Scaling {scaling}")
        yield Text(
            "3D-AJ / APD / TC: the first two in per cent, higher is better; TC in the "
            "clips' unit of length per frame², lower is better. A source's score is "
            "the mean over its clips, the average that over the sources."
        )
        if scaling not in ("per_trajectory", "local_neighborhood", "reproduce_2d"):
            yield Text(
                "Methods without a depth source begin every track at the same depth, "
                "and a scaling that is one for the whole video leaves them there: "
                "their rows here tell more of the scene than of the method."
            )
        yield _score_table(videos)
        yield from _factor(run, videos, main)
        yield from _beside(scaling)
    yield Heading(2, "Error of the depth ratio")
    yield Text(
        "Mean absolute error of log(depth / depth on the first visible frame), which "
        "takes no scaling, and the drift of scale in natural-log units per 100 frames: "
        "mean over a source's clips."
    )
    yield _ratio_table(run.videos[run.videos["scaling"] == _first(run)])
    yield Heading(2, "Over time, and by the size of the motion")
    yield Picture(
        report_pictures.error_over_time(run, pictures / "time.png"),
        f"Mean error of log depth against frames since the query, scaling "
        f"{_first(run)}: mean over the observations of each source, then over sources "
        "that have any so late; grey: how many observations there are.",
    )
    yield Picture(
        report_pictures.error_by_motion(run, pictures / "motion.png"),
        "Mean error of a track's log depth ratio against how much its true depth "
        "changes (range of its logarithm), over all tracks.",
    )
    yield Heading(2, f"The worst tracks of {main}")
    yield Text(
        "The lowest APD first, and the larger error of the ratio where APD is equal; "
        "tracks that are visible, or answered, in fewer than five frames are left out."
    )
    yield Picture(
        report_pictures.worst_tracks_drawn(run, main, pictures / "worst.png"),
        f"Depth over time, scaling {_first(run)}: the truth where it is visible "
        "(black) and the answer (orange; thin where the point is hidden); beside "
        "it the track's true path in the image, pixels, which begins at the dot.",
    )


def _protocol(run: Run) -> Iterator[Block]:
    from seurat_tracks.evaluation.baselines import METHODS

    yield Heading(2, "Protocol")
    # the focal length is one clip's; all others have their own
    protocol = re.sub(r", which is \S+ px at", " at", run.settings["protocol"])
    yield Text(protocol or "Nothing was scored.")
    if len(run.videos):
        pairs = run.videos[["source", "tracker"]].drop_duplicates()
        text = "; ".join(f"{r.source}: {r.tracker}" for r in pairs.itertuples())
        yield Text(
            f"2D tracks, by source: {text}. With oracle tracks every error is one of "
            "depth. Positions are put into space with the true camera, by every method."
        )
    rows = []
    for name, stamp in run.settings["methods"].items():
        kind = stamp["kind"]
        what = {
            "seurat+camera": METHODS["seurat"] + "; it is told the focal length",
            "maps": METHODS["video_depth"],
            "disparity": METHODS["video_depth"] + "; the maps hold inverse depth",
            "predictions": f"3D tracks of another program ({stamp.get('layout')})",
        }.get(kind, METHODS.get(kind, kind))
        options = ", ".join(f"{k}={v}" for k, v in stamp["options"].items())
        if "weights" in stamp:
            options += f"{', ' if options else ''}weights {stamp['weights']}"
        rows.append([name, what, options])
    yield Table(["method", "what it is", "options"], rows)
    if run.failures:
        yield Text(
            f"{len(run.failures)} answers are missing and count nowhere; they are "
            "tried again when the command is repeated: " + "; ".join(run.failures)
        )


def _score_table(videos: pd.DataFrame) -> Table:
    """One line a method: all scores of each source, and of their average."""
    tables = [average_over_sources(videos, score) for score in SCORES]
    accuracy = average_over_sources(videos, "occlusion_accuracy")["Average"]
    count = videos.groupby("method").size()
    total = int(count.max())
    columns = tables[0].columns.tolist()
    rows = []
    for method in tables[0].index:
        cells = [
            _three(*(table.loc[method, column] for table in tables))
            for column in columns
        ]
        rows.append(
            [method, *cells, _percent(accuracy[method]), f"{count[method]} of {total}"]
        )
    return Table(["method", *columns, "OA", "clips"], rows)


def _ratio_table(videos: pd.DataFrame) -> Table:
    error = average_over_sources(videos, "log_ratio_error")
    drift = average_over_sources(
        videos.assign(scale_drift=videos["scale_drift"].abs()), "scale_drift"
    )
    rows = [
        [
            method,
            *(
                f"{_number(error.loc[method, c])} / {_number(drift.loc[method, c])}"
                for c in error.columns
            ),
        ]
        for method in error.index
    ]
    return Table(["error / absolute drift", *error.columns], rows)


def _factor(run: Run, videos: pd.DataFrame, main: str) -> Iterator[Block]:
    """Compare the first method with constant depth and with the density formula."""
    table = average_over_sources(videos, "average_jaccard")
    kinds = {name: stamp["kind"] for name, stamp in run.settings["methods"].items()}
    said, rows = [], []
    for other in table.index:
        if kinds[other] not in ("constant", "density") or other == main:
            continue
        with np.errstate(all="ignore"):
            factors = (table.loc[main] / table.loc[other]).to_numpy(float)
        rows.append([f"{main} / {other}", *(_factor_text(f) for f in factors)])
        text = f"{_factor_text(factors[-1])} times that of {other}"
        if kinds[other] == "density" and np.isfinite(factors[-1]):
            short = 1 - factors[-1] / FACTOR
            verdict = "reached" if short <= 0 else f"missed by {short:.0%}"
            text += f" (the paper's own factor of {FACTOR:g}, Table 4: {verdict})"
        said.append(text)
    if said:
        yield Text(f"Average 3D-AJ of {main}: {'; '.join(said)}. By source:")
        yield Table(["3D-AJ over 3D-AJ", *table.columns], rows)


def _factor_text(factor: float) -> str:
    return f"{factor:.2f}" if np.isfinite(factor) else "–"


def _beside(scaling: str) -> Iterator[Block]:
    rows = BY_SCALING.get(scaling, [])
    if not rows:
        return
    text = f"Printed rows of {PAPER}: TAPVid-3D minival, 3D-AJ / APD / TC."
    if scaling == "median":
        text += " The paper does not say how Table 6 is scaled; the median is a guess."
    yield Text(text + " They compare with ours on the same clips alone.")
    yield Table(
        ["table", "depth", "2D tracks", "Aria", "DriveTrack", "PStudio", "Average"],
        rows,
    )


def _first(run: Run) -> str:
    return str(run.settings["scalings"][0])


def _three(jaccard: float, within: float, coherence: float) -> str:
    return f"{_percent(jaccard)} / {_percent(within)} / {_number(coherence)}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if np.isfinite(value) else "–"


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "–"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |"


def _html_table(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        inside = "".join(f"<{tag}>{html.escape(str(c))}</{tag}>" for c in cells)
        return f"<tr>{inside}</tr>"

    lines = [row(table.head, "th"), *(row(cells, "td") for cells in table.rows)]
    return "<table>\n" + "\n".join(lines) + "\n</table>"
