"""Load official code and weights from where the user has them; none of either is ours.

Code comes from the installed package or from a checkout that the user names, weights
from a file; or, asked for with ``weights="official"``, from the authors' own address
once their licence has been shown.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seurat_tracks.errors import TrackerError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import torch

OFFICIAL = "official"
"""What `weights` is set to so that they are downloaded from their authors."""

_PIP_NAMES = {"tree": "dm-tree", "cv2": "opencv-python-headless"}
_loaded: dict[tuple[str, str], ModuleType] = {}


@dataclass(frozen=True)
class Source:
    """Where a tracker's code and weights come from, and under which licence.

    Attributes
    ----------
    title : str
        The tracker's name in full.
    repository : str
        Address that is cloned.
    licence : str
        SPDX identifier, of code and weights alike.
    licence_url : str
        Where its text is.
    terms : str
        What it means in one sentence, shown before a download.
    modules : tuple of str
        Top-level module names of the code.
    folder : str
        Folder of the repository that holds them.
    weights_url : str
        Address of the official weights.
    """

    title: str
    repository: str
    licence: str
    licence_url: str
    terms: str
    modules: tuple[str, ...]
    weights_url: str
    folder: str = ""

    @property
    def weights_name(self) -> str:
        """File name of the official weights."""
        return self.weights_url.rpartition("/")[2]


class LicenceNotice(UserWarning):
    """Says under which licence a download comes, before it begins."""


# -- code ---------------------------------------------------------------------------


def official_module(
    source: Source, module: str, repo: str | os.PathLike[str] | None
) -> ModuleType:
    """Import a module of the official code.

    Parameters
    ----------
    source
        The tracker.
    module
        Dotted name of the module.
    repo
        Folder of the checkout; None for the installed package.

    Raises
    ------
    TrackerError
        The code, or a package that it needs, is not there. The text says what to
        clone or install.

    Notes
    -----
    Checkouts use module names as general as `models` and `utils`. Modules of these
    names that are loaded already are put aside during the import and put back after
    it, so that neither side sees the other's.
    """
    path = "" if repo is None else str(Path(os.fspath(repo)).resolve())
    if (path, module) in _loaded:
        return _loaded[path, module]
    clone = f"git clone {source.repository}, then give the folder of the clone as repo="
    if path:
        root = Path(path, source.folder)
        if not any((root / m).is_dir() for m in source.modules):
            raise TrackerError(
                f"{path} is no checkout of {source.title}: there is no folder "
                f"{Path(source.folder, source.modules[0])} in it. Get it with: {clone}"
            )
        with _first_on_path(str(root), source.modules):
            _loaded[path, module] = _import(source, module, clone)
    else:
        _loaded[path, module] = _import(source, module, clone)
    return _loaded[path, module]


def _import(source: Source, module: str, clone: str) -> ModuleType:
    import torch

    try:
        # Some of the official modules seed torch when they are imported.
        with torch.random.fork_rng(devices=[]):
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = (error.name or "").partition(".")[0]
        if top in source.modules:
            text = f"the code of {source.title} is not installed ({error}): {clone}"
        else:
            need = _PIP_NAMES.get(top, top)
            text = (
                f"the code of {source.title} needs the package {need}: "
                f"pip install {need}"
            )
        raise TrackerError(text) from error
    except Exception as error:
        raise TrackerError(
            f"the code of {source.title} ({module}) does not import: "
            f"{type(error).__name__}: {error}"
        ) from error


@contextmanager
def _first_on_path(root: str, names: Sequence[str]) -> Iterator[None]:
    def mine() -> list[str]:
        return [m for m in sys.modules if m.partition(".")[0] in names]

    aside = {m: sys.modules.pop(m) for m in mine()}
    sys.path.insert(0, root)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(root)
        for m in mine():
            del sys.modules[m]
        sys.modules.update(aside)


# -- weights ------------------------------------------------------------------------


def find_weights(source: Source, weights: str | os.PathLike[str] | None) -> Path:
    """Path of the weights file; downloads it where that is asked for by name.

    Parameters
    ----------
    source
        The tracker.
    weights
        Path of a file, or "official".

    Raises
    ------
    WeightsError
        No path was given, there is no such file, or the download failed.

    Warns
    -----
    LicenceNotice
        Before a download, and before a file downloaded earlier is used.
    """
    get = (
        f"download {source.weights_url} ({source.licence}) and give its path as "
        f'weights=, or give weights="{OFFICIAL}" to have it downloaded'
    )
    if weights is None:
        raise WeightsError(f"{source.title} needs weights: {get}.")
    if weights == OFFICIAL:
        warnings.warn(
            f"the weights of {source.title} are under {source.licence} "
            f"({source.licence_url}): {source.terms} They come from "
            f"{source.weights_url}.",
            LicenceNotice,
            stacklevel=2,
        )
        return _download(source)
    path = Path(os.fspath(weights))
    if not path.is_file():
        raise WeightsError(f"{path} is no file. {source.title}: {get}.")
    return path


def _download(source: Source) -> Path:
    import torch

    folder = Path(torch.hub.get_dir(), "checkpoints")
    path = folder / source.weights_name
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(source.weights_url, str(path))
    except OSError as error:
        raise WeightsError(
            f"{source.weights_url} could not be downloaded ({error}). Download it by "
            "other means and give its path as weights=."
        ) from error
    return path


def read_state(path: Path, source: Source) -> dict[str, torch.Tensor]:
    """Read a file of weights: tensors by name, never running what is in the file.

    Parameters
    ----------
    path
        A `.safetensors` file, or what `torch.save` wrote: a dict of tensors, possibly
        inside `model` or `state_dict`.
    source
        The tracker, for the text of errors.

    Raises
    ------
    WeightsError
        The file is damaged, holds anything but plain tensors, or no weights.
    """
    import torch

    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(str(path))
        except SafetensorError as error:
            raise WeightsError(f"{path} is damaged: {error}") from error
    try:
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        first = re.split(r"[\n.]", str(error), maxsplit=1)[0]
        raise WeightsError(
            f"{path} is no file of plain tensors ({type(error).__name__}: {first}). "
            f"Nothing else is loaded from a pickle, since that could run code. "
            f"{source.title} takes {source.weights_url}."
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
    tensors = isinstance(held, Mapping) and all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in held.items()
    )
    if not tensors or not held:
        raise WeightsError(
            f"{path} holds no weights but {_said(held)}; {source.title} takes a dict "
            f"of tensors by name, as in {source.weights_url}."
        )
    return dict(held)


def _said(held: Any) -> str:
    if isinstance(held, Mapping):
        return f"a dict of {', '.join(sorted(map(str, held))[:5]) or 'nothing'}"
    return f"a {type(held).__name__}"


def fill(
    network: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    path: Path,
    source: Source,
    *,
    prefix: str = "",
) -> None:
    """Put weights into a network; every name and shape must fit.

    Parameters
    ----------
    network
        The network.
    state
        Tensors by name.
    path, source
        Where they came from, for the text of errors.
    prefix
        Taken off each name where all carry it, as training frameworks add one.

    Raises
    ------
    WeightsError
        They are another model's; the first faults are named.
    """
    if prefix and all(k.startswith(prefix) for k in state):
        state = {k.removeprefix(prefix): v for k, v in state.items()}
    want = network.state_dict()
    faults = [
        f"{k} has shape {tuple(state[k].shape)}, expected {tuple(want[k].shape)}"
        for k in want
        if k in state and state[k].shape != want[k].shape
    ]
    missing, extra = sorted(want.keys() - state), sorted(state.keys() - want.keys())
    if missing:
        faults.append(f"{len(missing)} tensors are missing ({', '.join(missing[:3])})")
    if extra:
        faults.append(f"{len(extra)} tensors are unknown ({', '.join(extra[:3])})")
    if faults:
        shown = "; ".join(faults[:4]) + ("; ..." if len(faults) > 4 else "")
        raise WeightsError(
            f"{path} holds weights of another model than {source.title}: {shown}. "
            f"The fitting file is {source.weights_url}."
        )
    network.load_state_dict(dict(state))
    network.eval()
    network.requires_grad_(False)
