"""Depth models known by name, and where their weights are found.

Nothing is downloaded unless asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from seurat_tracks.errors import DepthError

LOG = logging.getLogger(__name__)

UNKNOWN_LICENCE = "unknown: ask the authors of the weights"
"""What is recorded where weights say nothing of their licence."""

NEEDED_FILES = ("*.json", "*.safetensors", "README.md", "LICENSE*")
"""Files of a hub repository that are used; never a pickle."""


@dataclass(frozen=True)
class Entry:
    """A model known by name.

    Attributes
    ----------
    package
        What runs it: "transformers", "depth_pro" (Apple's own), "moge" or
        "depth_anything_3".
    repository
        Owner and name of its weights on the Hugging Face hub; "" if not there.
    licence
        Licence of the weights as their authors state it; ``docs/depth.md`` says where.
    """

    package: str
    repository: str
    licence: str


NON_COMMERCIAL = "CC BY-NC 4.0 (no commercial use)"

_V2_METRIC_SMALL = "Apache-2.0 (of the small backbone; its own page states none)"
_V2_METRIC = (
    "unclear: CC BY-NC 4.0 by the authors' repository, Apache-2.0 by their pages of "
    "the same weights; take it for non-commercial"
)

APPLE = "Apple Machine Learning Research Model licence (research only)"

_V2 = "depth-anything/Depth-Anything-V2"

CATALOGUE: dict[str, Entry] = {
    "depth-pro": Entry("transformers", "apple/DepthPro-hf", APPLE),
    "depth-pro-apple": Entry("depth_pro", "", APPLE),
    "zoedepth": Entry("transformers", "Intel/zoedepth-nyu-kitti", "MIT"),
    "zoedepth-nyu": Entry("transformers", "Intel/zoedepth-nyu", "MIT"),
    "zoedepth-kitti": Entry("transformers", "Intel/zoedepth-kitti", "MIT"),
    **{
        f"depth-anything-v2{kind.lower()}-{size.lower()}": Entry(
            "transformers",
            f"{_V2}{kind}-{size}-hf",
            licences[size != "Small"],
        )
        for kind, licences in {
            "-Metric-Indoor": (_V2_METRIC_SMALL, _V2_METRIC),
            "-Metric-Outdoor": (_V2_METRIC_SMALL, _V2_METRIC),
            "": ("Apache-2.0", NON_COMMERCIAL),
        }.items()
        for size in ("Small", "Base", "Large")
    },
    "depth-anything-3-metric": Entry(
        "depth_anything_3", "depth-anything/DA3METRIC-LARGE", "Apache-2.0"
    ),
    "moge-2": Entry("moge", "Ruicheng/moge-2-vitl-normal", "MIT"),
    "moge-2-small": Entry("moge", "Ruicheng/moge-2-vits-normal", "MIT"),
}
"""Names that ``depth=`` takes."""


def looks_like_model(name: str) -> bool:
    """Whether a text names a model: of the catalogue, the hub, or in a folder."""
    if name in CATALOGUE:
        return True
    if Path(name).expanduser().exists():
        return (Path(name).expanduser() / "config.json").is_file()
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name) is not None and Path(
        name
    ).suffix not in (".npy", ".npz", ".zarr", ".exr", ".png", ".tif", ".tiff")


def find_weights(
    name: str, *, download: bool, files: tuple[str, ...] = NEEDED_FILES
) -> tuple[Path, str]:
    """Find a model's folder on this machine, or fetch it if asked to.

    Parameters
    ----------
    name
        A folder; a name of the `CATALOGUE`; or OWNER/NAME on the Hugging Face hub,
        which is then looked for in the hub's own cache.
    download
        True to fetch what is not there. The licence is written to the log first.
    files
        Patterns of the files that are needed.

    Returns
    -------
    folder, licence

    Raises
    ------
    DepthError
        If it is not there and ``download`` is False: the text states the licence. Or
        if it cannot be fetched.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder, stated_licence(folder) or UNKNOWN_LICENCE
    entry = CATALOGUE.get(name)
    repository = name if entry is None else entry.repository
    licence = "" if entry is None else entry.licence
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise DepthError(
            f'{name}: depth models need more packages: pip install "seurat-tracks'
            '[depth]"'
        ) from None
    here: Path | None = None
    with contextlib.suppress(LocalEntryNotFoundError, ValueError):
        here = Path(
            snapshot_download(
                repository, allow_patterns=list(files), local_files_only=True
            )
        )
    if here is None:
        where = f"{repository} (https://huggingface.co/{repository})"
        licence = licence or (_licence_on_hub(repository) if download else "")
        shown = licence or "stated on that page"
        if not download:
            raise DepthError(
                f"the weights {where} are not on this machine. Their licence: {shown}. "
                "If you accept it, DepthModel(..., download=True) fetches them; "
                "weights that you have are given as a folder, weights="
            )
        LOG.warning("fetching %s; licence: %s", where, shown)
        try:
            here = Path(snapshot_download(repository, allow_patterns=list(files)))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
            raise DepthError(f"{where} cannot be fetched: {error}") from error
    return here, stated_licence(here) or licence or UNKNOWN_LICENCE


def _licence_on_hub(repository: str) -> str:
    from huggingface_hub import model_info

    try:
        card = model_info(repository).card_data
    except (OSError, ValueError) as error:
        raise DepthError(f"{repository}: the hub does not answer: {error}") from error
    return str(card.get("license") or UNKNOWN_LICENCE) if card else UNKNOWN_LICENCE


def stated_licence(folder: Path) -> str:
    """Licence that a model folder's README states in its header, "" if none."""
    readme = folder / "README.md"
    if not readme.is_file():
        return ""
    header = re.match(r"---\s*\n(.*?)\n---", readme.read_text("utf-8"), re.DOTALL)
    if header is None:
        return ""
    lines = dict(
        line.split(":", 1) for line in header[1].splitlines() if re.match(r"\w+:", line)
    )
    named = lines.get("license_name", "").strip().strip("\"'")
    return named or lines.get("license", "").strip().strip("\"'")


def weights_hash(folder: Path) -> str:
    """First 16 hexadecimal digits of a hash over a folder's weights and settings.

    Raises
    ------
    DepthError
        If there are no safetensors in it.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        found = sorted(p.name for p in folder.iterdir())
        raise DepthError(
            f"{folder} holds no .safetensors weights (but {found}): other formats can "
            "run code when they are read, and are not"
        )
    total = hashlib.sha256()
    for path in [*weights, *sorted(folder.glob("*.json"))]:
        total.update(f"{path.name} {file_digest(path)}\n".encode())
    return total.hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of a file; the hub's cache already names large files by it."""
    real = path.resolve()
    if real.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", real.name):
        return real.name
    stat = os.stat(real)
    return _digest(str(real), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_config(folder: Path) -> dict[str, object]:
    """Read the configuration of a transformers model.

    Raises
    ------
    DepthError
        If there is none.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DepthError(f"{folder} holds no readable config.json: {error}") from None
    if not isinstance(config, dict):
        raise DepthError(f"{folder}/config.json is not a configuration")
    return config
