"""Run methods over clips, and keep what every track, frame and video scored.

Each answer is scored and written once: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.evaluation.align import SCALINGS, align
from seurat_tracks.evaluation.compare import evaluate
from seurat_tracks.evaluation.methods import Method
from seurat_tracks.evaluation.sources import Clip
from seurat_tracks.progress import bar

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

TABLES = ("tracks", "videos", "frames")
"""Parquet files of a run; ``docs/evaluation.md`` tells their columns."""

WORST = 10
"""Tracks of each answer whose curves are kept for drawing."""

LEAST_SEEN = 5
"""Frames in which a track must be visible, and have an answer, to be one of them."""

VERSION = 2
"""Of the parts of a run; older ones are computed anew."""


@dataclass(frozen=True)
class Run:
    """What a benchmark left in its folder.

    Attributes
    ----------
    out
        The folder.
    tracks, videos, frames : pandas.DataFrame
        Scores by track, video, and frame after the query; all methods and scalings.
    settings
        What was run: the clips' description, the protocol, the methods.
    failures
        "source/clip, method: what went wrong", which a next run tries again.
    """

    out: Path
    tracks: pd.DataFrame
    videos: pd.DataFrame
    frames: pd.DataFrame
    settings: dict[str, Any]
    failures: list[str]


def run(
    clips: Sequence[Clip],
    methods: Sequence[Method],
    out: Path,
    *,
    scalings: Sequence[str] = ("per_trajectory",),
    about: str = "",
    say: Callable[[str], None] = lambda text: None,
    progress: bool | None = None,
) -> Run:
    """Score methods on clips; what `out` holds already is not computed again.

    Parameters
    ----------
    clips
        From `seurat_tracks.evaluation.sources`.
    methods
        Of different names. The first is the one that a report is about.
    out
        Folder of the run: ``parts/`` and the files of `TABLES`.
    scalings
        Keys of `seurat_tracks.evaluation.align.SCALINGS`.
    about
        What the clips are, for the report.
    say
        Called with a line for every answer that is scored.
    progress
        True or False for a bar or none; None: a bar in a notebook or on a terminal.

    Returns
    -------
    Run

    Raises
    ------
    ImportError
        If pyarrow is missing, which writes Parquet.
    SeuratTracksError
        If there is nothing to do, or names clash; before any work.
    """
    require_parquet()
    _refuse(clips, methods, scalings)
    out.mkdir(parents=True, exist_ok=True)
    stamps = {m.name: m.stamp() for m in methods}
    parts, failures = [], []
    protocol = ""
    answers = bar(
        total=len(clips) * len(methods),
        desc="scoring",
        unit="answer",
        progress=progress,
    )

    def tell(line: str) -> None:
        with answers.external_write_mode():
            say(line)

    with answers:
        for i, clip in enumerate(clips):
            where = f"[{i + 1}/{len(clips)}] {clip.source}/{clip.name}"
            loaded: tuple[xr.Dataset, xr.Dataset] | None = None
            for method in methods:
                part = out / "parts" / _slug(clip.source) / _slug(clip.name)
                part /= f"{_slug(clip.tracker)}-{_slug(method.name)}"
                try:
                    if clip.path is None and loaded is None:
                        loaded = clip.load()
                    wanted = {
                        "version": VERSION,
                        "scalings": list(scalings),
                        "clip": _fingerprint(clip, loaded),
                        **stamps[method.name],
                    }
                    done = _settings(part)
                    if done.get("wanted") != wanted:
                        loaded = loaded or clip.load()
                        scored = _score(clip, method, *loaded, scalings)
                        made = {"wanted": wanted, "protocol": scored.protocol}
                        _write(part, made, scored)
                        tell(f"{where}, {method.name}")
                        done = _settings(part)
                except (SeuratTracksError, FileNotFoundError) as error:
                    failures.append(
                        f"{clip.source}/{clip.name}, {method.name}: {error}"
                    )
                    tell(f"failed: {failures[-1]}")
                    answers.update()
                    continue
                protocol = protocol or done["protocol"]
                parts.append(part)
                answers.update()
    tables = _join(parts)
    for name, table in tables.items():
        _replace(out / f"{name}.parquet", table)
    settings: dict[str, Any] = {
        "about": about,
        "clips": len(clips),
        "sources": list(dict.fromkeys(c.source for c in clips)),
        "scalings": list(scalings),
        "protocol": protocol,
        "methods": stamps,
        "parts": [str(part.relative_to(out)) for part in parts],
    }
    (out / "run.json").write_text(json.dumps(settings, indent=1) + "\n", "utf-8")
    return Run(
        out, tables["tracks"], tables["videos"], tables["frames"], settings, failures
    )


def require_parquet() -> None:
    """Raise ImportError, with the cure, if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ImportError(
            "scores are written as Parquet, which needs pyarrow: "
            "pip install 'seurat-tracks[export]'"
        ) from None


def worst_tracks(run: Run, method: str, scaling: str) -> list[dict[str, Any]]:
    """Find the tracks on which a method is worst, with their curves.

    Parameters
    ----------
    run
        A finished run.
    method
        Name of the method.
    scaling
        One of the run's.

    Returns
    -------
    list of dict
        At most `WORST`, the worst first: ``source``, ``clip``, ``track``, ``score``
        (APD), ``error`` (mean log-ratio error), and arrays over time ``time``,
        ``true`` and ``guess`` (depth), ``visible``, ``xy``.
    """
    rows = run.tracks
    rows = rows[(rows["method"] == method) & (rows["scaling"] == scaling)]
    rows = _worst_first(rows).head(WORST)
    found = []
    for row in rows.itertuples():
        part = run.out / str(row.part)
        with np.load(part / "worst.npz", allow_pickle=False) as file:
            at = np.flatnonzero(file["row"] == row.row)
            if not len(at):
                continue
            i, s = int(at[0]), run.settings["scalings"].index(scaling)
            found.append(
                {
                    "source": row.source,
                    "clip": row.clip,
                    "track": row.track,
                    "score": float(row.average_pts_within),
                    "error": float(row.log_ratio_error),
                    "time": file["time"],
                    "true": file["true"][i],
                    "guess": file["guess"][s, i],
                    "visible": file["visible"][i],
                    "xy": file["xy"][i],
                }
            )
    return found


@dataclass(frozen=True)
class _Scored:
    tables: dict[str, pd.DataFrame]
    worst: dict[str, np.ndarray]
    protocol: str


def _score(
    clip: Clip,
    method: Method,
    ds: xr.Dataset,
    truth: xr.Dataset,
    scalings: Sequence[str],
) -> _Scored:
    """Lift a clip and score it by track, frame and video."""
    lifted = method.lift(clip, ds, truth)
    scores = evaluate(lifted, truth, scaling=scalings)
    label = {
        "source": clip.source,
        "clip": clip.name,
        "tracker": clip.tracker,
        "method": method.name,
    }
    pred = lifted["xyz"].sel(track=truth["track"], time=truth["time"])
    pred_xyz = pred.transpose("track", "time", "axis").values
    flags = lifted["visible"].sel(track=truth["track"], time=truth["time"])
    pred_visible = flags.transpose("track", "time").values
    gt_xyz = truth["xyz"].transpose("track", "time", "axis").values
    visible = truth["visible"].transpose("track", "time").values
    visible = visible & np.isfinite(gt_xyz).all(-1) & (gt_xyz[..., 2] > 0)
    query = truth.indexes["time"].get_indexer(truth["query_frame"].values)
    aligned = [
        align(gt_xyz, visible, pred_xyz, pred_visible, query, scaling=name)[..., 2]
        for name in scalings
    ]
    true = gt_xyz[..., 2]
    answered = visible & pred_visible & np.isfinite(pred_xyz).all(-1)
    tracks = _track_table(scores, truth, true, visible, answered, label)
    worst = _worst_of(tracks, scalings[0])
    xy = truth["xy"].transpose("track", "time", "coord").values
    curves = {
        "row": worst,
        "time": truth["time"].values,
        "true": true[worst].astype(np.float32),
        "guess": np.stack([z[worst] for z in aligned]).astype(np.float32),
        "visible": visible[worst],
        "xy": xy[worst].astype(np.float32),
    }
    frames = _frame_table(true, visible, aligned, query, scalings, label)
    videos = _video_table(scores, label)
    tables = {"tracks": tracks, "videos": videos, "frames": frames}
    return _Scored(tables, curves, scores.attrs["protocol"])


def _track_table(
    scores: xr.Dataset,
    truth: xr.Dataset,
    true: np.ndarray,
    visible: np.ndarray,
    answered: np.ndarray,
    label: dict[str, str],
) -> pd.DataFrame:
    """One line a track and scaling."""
    import pandas as pd

    log_true = np.log(np.where(visible, true, np.nan))
    some = visible.any(1)
    motion = np.full(len(true), np.nan)
    motion[some] = np.nanmax(log_true[some], 1) - np.nanmin(log_true[some], 1)
    tables = []
    for name in scores["scaling"].values.tolist():
        found = scores.sel(scaling=name)
        columns: dict[str, Any] = {
            **label,
            "scaling": name,
            "row": np.arange(len(true)),
            "track": truth["track"].values.astype(str),
            "query_frame": truth["query_frame"].values,
            "visible": visible.sum(1),
            "answered": answered.sum(1),
            "motion": motion,
        }
        columns |= _scores_of(found, "")
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _video_table(scores: xr.Dataset, label: dict[str, str]) -> pd.DataFrame:
    """One line a scaling."""
    import pandas as pd

    counts = ("tracks", "frames", "observations", "visible", "predicted_visible")
    rows = []
    for name in scores["scaling"].values.tolist():
        row: dict[str, Any] = {**label, "scaling": name}
        row |= {key: int(scores.attrs[key]) for key in counts}
        row["without_prediction"] = int(scores.attrs["without_prediction"])
        found = _scores_of(scores.sel(scaling=name), "video_")
        rows.append(row | {key: float(value) for key, value in found.items()})
    return pd.DataFrame(rows)


def _scores_of(scores: xr.Dataset, prefix: str) -> dict[str, np.ndarray]:
    """Give the scores of one scaling, by track or by video; thresholds by name."""
    plain = (
        *("average_jaccard", "average_pts_within", "occlusion_accuracy"),
        *("temporal_coherence", "log_ratio_error", "log_ratio_error_constant"),
        "scale_drift",
    )
    out = {name: scores[prefix + name].values for name in plain}
    for name in ("jaccard", "pts_within"):
        for delta in scores["threshold"].values.tolist():
            value = scores[prefix + name].sel(threshold=delta).values
            out[f"{name}_{delta:g}"] = value
    return out


def _frame_table(
    true: np.ndarray,
    visible: np.ndarray,
    aligned: list[np.ndarray],
    query: np.ndarray,
    scalings: Sequence[str],
    label: dict[str, str],
) -> pd.DataFrame:
    """Sum errors of log depth over tracks, by frames since the query frame."""
    import pandas as pd

    offset = np.arange(true.shape[1]) - query[:, None]
    tables = []
    for name, guess in zip(scalings, aligned, strict=True):
        good = visible & (guess > 0)
        ratio = np.where(good, guess, 1.0) / np.where(good, true, 1.0)
        error = np.abs(np.log(ratio, dtype=np.float64))
        values, at = np.unique(offset[visible], return_inverse=True)
        count = np.bincount(at, good[visible], len(values))
        total = np.bincount(at, error[visible], len(values))
        columns: dict[str, Any] = {
            **label,
            "scaling": name,
            "frames_since_query": values,
            "visible": np.bincount(at, minlength=len(values)),
            "answered": count.astype(np.int64),
            "sum_log_depth_error": total,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _worst_of(tracks: pd.DataFrame, scaling: str) -> np.ndarray:
    """Rows of the worst tracks of one answer."""
    rows = _worst_first(tracks[tracks["scaling"] == scaling])
    return rows["row"].to_numpy()[:WORST]


def _worst_first(tracks: pd.DataFrame) -> pd.DataFrame:
    """Sort by APD, the larger error first; those with hardly an answer are left out."""
    enough = tracks[["visible", "answered"]].min(axis=1) >= LEAST_SEEN
    return tracks[enough].sort_values(
        ["average_pts_within", "log_ratio_error"], ascending=[True, False]
    )


def _write(part: Path, settings: dict[str, Any], scored: _Scored) -> None:
    """Write a part beside its place, then put it there: it is whole or not there."""
    new = part.with_name(part.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, table in scored.tables.items():
        table.to_parquet(new / f"{name}.parquet", engine="pyarrow", index=False)
    np.savez_compressed(new / "worst.npz", **scored.worst)  # type: ignore[arg-type]
    (new / "settings.json").write_text(json.dumps(settings) + "\n", "utf-8")
    shutil.rmtree(part, ignore_errors=True)
    new.rename(part)


def _settings(part: Path) -> dict[str, Any]:
    """Read what a part was made with; nothing if it is not there."""
    try:
        found = json.loads((part / "settings.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _join(parts: Iterable[Path]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    parts = list(parts)
    joined = {}
    for name in TABLES:
        tables = []
        for part in parts:
            table = pd.read_parquet(part / f"{name}.parquet", engine="pyarrow")
            table["part"] = str(Path(*part.parts[-4:]))
            tables.append(table)
        joined[name] = (
            pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
        )
    return joined


def _replace(path: Path, table: pd.DataFrame) -> None:
    new = path.with_name(path.name + ".new")
    table.to_parquet(new, engine="pyarrow", index=False)
    os.replace(new, path)


def _fingerprint(clip: Clip, loaded: tuple[xr.Dataset, xr.Dataset] | None) -> list[Any]:
    """Say which file, or which arrays, a clip is."""
    if clip.path is not None:
        stat = clip.path.stat()
        return [str(clip.path.resolve()), stat.st_size, stat.st_mtime_ns]
    assert loaded is not None
    ds, truth = loaded
    arrays = [ds["xy"], ds["visible"], truth["xyz"], truth["visible"]]
    return [zlib.crc32(np.ascontiguousarray(a.values).tobytes()) for a in arrays]


def _slug(text: str) -> str:
    """Give a name that is safe for a folder, and different for different texts."""
    plain = re.sub(r"[^A-Za-z0-9._+-]", "_", text)
    return plain if plain == text else f"{plain}-{zlib.crc32(text.encode()):08x}"


def _refuse(
    clips: Sequence[Clip], methods: Sequence[Method], scalings: Sequence[str]
) -> None:
    faults = []
    if not clips:
        faults.append("there are no clips")
    if not methods:
        faults.append("there are no methods")
    if not scalings:
        faults.append("there is no scaling")
    for what, names in (
        ("method", [m.name for m in methods]),
        ("clip", [f"{c.source}/{c.name}/{c.tracker}" for c in clips]),
        ("scaling", list(scalings)),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        faults += [f"{what} {name!r} is given twice" for name in twice]
    faults += [
        f"scaling {name!r} is not one of {list(SCALINGS)}"
        for name in scalings
        if name not in SCALINGS
    ]
    if faults:
        raise SeuratTracksError("cannot run the benchmark: " + "; ".join(faults))
