"""What a benchmark compares: methods by name, with their options, and their files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seurat_tracks.errors import SeuratTracksError

if TYPE_CHECKING:
    import xarray as xr

    from seurat_tracks.evaluation.sources import Clip

BUILT_IN = ("seurat", "seurat+camera", "constant", "density", "affine", "oracle_depth")
"""Methods that need no files. ``seurat`` is not told the camera, as in the paper;
``seurat+camera`` is. Both, and all others, are put into space by the true camera."""

_NUMBERS: dict[str, type] = {
    "k": int,
    "iterations": int,
    "smooth": int,
    "bandwidth": float,
    "sigma": float,
}
_TAKES = {
    "seurat": ("model", "device", "fuse", "iterations", "smooth", "sigma"),
    "seurat+camera": ("model", "device", "fuse", "iterations", "smooth", "sigma"),
    "constant": ("smooth", "sigma"),
    "density": ("k", "bandwidth", "smooth", "sigma"),
    "affine": ("k", "iterations", "smooth", "sigma"),
    "oracle_depth": ("smooth", "sigma"),
    "maps": ("smooth", "sigma"),
    "disparity": ("smooth", "sigma"),
    "predictions": (),
}


@dataclass(frozen=True)
class Method:
    """One way to get 3D tracks of a clip.

    Attributes
    ----------
    name
        What tables call it; unique in a benchmark.
    kind
        One of `BUILT_IN`; or "maps" and "disparity" for depth maps, "predictions" for
        another program's 3D tracks, all three read from `folder`.
    options
        For `seurat_tracks.evaluation.baselines.lift_by`.
    folder
        Holds a file for each clip, by the clip's name: ``NAME.npy`` of maps (time, y,
        x), or what `seurat_tracks.io.predictions.find_predictions` finds; in a folder
        named after the source, if there is one.
    layout
        Of predictions; a key of `seurat_tracks.io.predictions.LAYOUTS`.
    """

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    layout: str = ""

    def lift(self, clip: Clip, ds: xr.Dataset, truth: xr.Dataset) -> xr.Dataset:
        """Give the clip's tracks with ``xyz`` and ``visible``.

        Parameters
        ----------
        clip
            The clip.
        ds
            Its 2D tracks, with the true ``intrinsics``.
        truth
            Its true tracks; only "oracle_depth" looks at positions in it,
            "predictions" at its ids, frames and camera.

        Raises
        ------
        SeuratTracksError, FileNotFoundError
            If a file of this clip is missing or does not fit.
        """
        from seurat_tracks.evaluation.baselines import lift_by

        if self.kind == "predictions":
            from seurat_tracks.io.predictions import find_predictions, read_predictions

            path = find_predictions(_home(self.folder, clip), clip.name, self.layout)
            return read_predictions(path, truth, layout=self.layout)
        ds = with_hidden_positions(ds)
        if self.kind in ("maps", "disparity"):
            return lift_by(
                ds,
                "video_depth",
                depth=self._maps(clip),
                disparity=self.kind == "disparity",
                **self.options,
            )
        if self.kind == "seurat":
            return _lift_untold(ds, **self.options)
        if self.kind == "oracle_depth":
            known = ds.sel(track=ds["track"].isin(truth["track"]))
            return lift_by(known, "oracle_depth", truth=truth, **self.options)
        method = "seurat" if self.kind == "seurat+camera" else self.kind
        return lift_by(ds, method, **self.options)

    def stamp(self) -> dict[str, Any]:
        """Say all that its answers depend on, but the clip; JSON can hold it."""
        # weights are known by what is in them, and no device changes an answer
        options = {
            k: v for k, v in self.options.items() if k not in ("model", "device")
        }
        stamp: dict[str, Any] = {"kind": self.kind, "options": options}
        stamp["code"] = _code_digest()
        if self.folder is not None:
            stamp["folder"] = str(self.folder.resolve())
            stamp["layout"] = self.layout
        if self.kind.startswith("seurat"):
            from seurat_tracks.model.pretrained import find_weights, load_model

            model = load_model(find_weights(self.options.get("model", "auto")))
            stamp["weights"] = model.hash
        return stamp

    def _maps(self, clip: Clip) -> Any:
        from seurat_tracks.depth import DepthMaps

        path = _home(self.folder, clip) / f"{clip.name}.npy"
        if not path.is_file():
            raise FileNotFoundError(f"{self.name}: there is no file {path}")
        try:
            maps = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise SeuratTracksError(f"{path} is no plain array: {error}") from None
        return DepthMaps(maps, name=self.name)


def parse_method(text: str, **defaults: Any) -> Method:
    """Read a method as the command line has it.

    Parameters
    ----------
    text
        A name of `BUILT_IN`, then options: ``density:k=16``, ``seurat:fuse=chain``,
        ``affine:k=8,smooth=3``; or files: ``maps:NAME=FOLDER``,
        ``disparity:NAME=FOLDER``, ``predictions/LAYOUT:NAME=FOLDER``.
    **defaults
        Options where the method takes them and the text does not say.

    Returns
    -------
    Method

    Raises
    ------
    SeuratTracksError
        If it cannot be read; says what can.
    """
    head, _, rest = text.partition(":")
    kind, _, layout = head.partition("/")
    if kind not in _TAKES:
        raise SeuratTracksError(
            f"method {text!r}: {kind!r} is unknown; give one of {', '.join(BUILT_IN)}, "
            "or maps:NAME=FOLDER, disparity:NAME=FOLDER, predictions/LAYOUT:NAME=FOLDER"
        )
    given = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise SeuratTracksError(f"method {text!r}: {part!r} is not NAME=VALUE")
        given[key.strip()] = value.strip()
    name, folder = text, None
    if kind in ("maps", "disparity", "predictions"):
        files = [key for key in given if key not in _TAKES["maps"]]
        if len(files) != 1:
            raise SeuratTracksError(
                f"method {text!r} needs one NAME=FOLDER, as in {kind}:mine=results/"
            )
        name, folder = files[0], Path(given.pop(files[0]))
        if given:
            name += " " + ",".join(f"{k}={v}" for k, v in given.items())
        if not folder.is_dir():
            raise SeuratTracksError(f"method {text!r}: {folder} is not a folder")
    if kind == "predictions":
        from seurat_tracks.io.predictions import LAYOUTS

        if layout not in LAYOUTS:
            raise SeuratTracksError(
                f"method {text!r}: layout {layout!r} is unknown; give one of "
                f"{', '.join(LAYOUTS)}"
            )
    unknown = set(given) - set(_TAKES[kind])
    if unknown:
        raise SeuratTracksError(
            f"method {text!r}: {kind} takes {', '.join(_TAKES[kind]) or 'no options'}, "
            f"not {', '.join(sorted(unknown))}"
        )
    options: dict[str, Any] = {k: v for k, v in defaults.items() if k in _TAKES[kind]}
    for key, value in given.items():
        try:
            options[key] = _NUMBERS.get(key, str)(value)
        except ValueError:
            raise SeuratTracksError(
                f"method {text!r}: {key}={value} is not a number"
            ) from None
    return Method(name, kind, options, folder, layout)


def with_hidden_positions(ds: xr.Dataset) -> xr.Dataset:
    """Guess where hidden points are: between the places where they are seen.

    A hidden point never counts as found, but scaling by the query frame needs its
    depth where a point is given on a frame in which the tracker does not see it.
    """
    from seurat_tracks.evaluation.baselines import fill_in_time

    xy = ds["xy"].transpose("track", "time", "coord")
    seen = ds["visible"].transpose("track", "time").values
    known = np.where(seen[..., None], xy.values, np.nan)
    filled = fill_in_time(known.swapaxes(1, 2)).swapaxes(1, 2)
    return ds.assign(xy=xy.copy(data=filled.astype(np.float32)))


def _lift_untold(
    ds: xr.Dataset, *, smooth: int = 0, sigma: float = 1.0, **options: Any
) -> xr.Dataset:
    """Lift by the network, which does not hear of the camera."""
    from seurat_tracks.evaluation.baselines import smooth_positions
    from seurat_tracks.lift import depth_ratio
    from seurat_tracks.scale import add_xyz, anchor

    camera = ds.attrs["intrinsics"]
    bare = ds.copy(deep=False)
    bare.attrs = {k: v for k, v in ds.attrs.items() if not k.startswith("intrinsics")}
    out = add_xyz(anchor(depth_ratio(bare, **options)), camera)
    return smooth_positions(out, times=smooth, sigma=sigma) if smooth else out


@cache
def _code_digest() -> str:
    """Digest the package's code that answers and scores, so that no old score stays."""
    package = Path(__file__).parents[1]
    files = [package / f"{name}.py" for name in _CODE]
    files += sorted((package / "model").glob("*.py"))
    files += [Path(__file__).with_name(f"{name}.py") for name in _SCORING]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


_CODE = (
    *("lift", "fusion", "banded", "doubt", "support", "windows", "scale"),
    *("geometry", "median", "robust", "gains", "shift", "runs", "cameras/camera"),
)
_SCORING = (
    *("align", "baselines", "compare", "expansion", "methods", "metrics", "ratio"),
    *("stability", "videos"),
)


def _home(folder: Path | None, clip: Clip) -> Path:
    assert folder is not None
    return folder / clip.source if (folder / clip.source).is_dir() else folder
