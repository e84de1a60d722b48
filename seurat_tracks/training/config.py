"""Everything that decides a training run, as one frozen record."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.model.config import PRESETS, ModelConfig


class TrainingError(SeuratTracksError):
    """A run's settings, data or folder do not fit."""


LOSSES = ("laplace", "l1")
"""Names of the losses in `seurat_tracks.training.loss.prediction_loss`."""

_POSITIVE = ("steps", "warmup", "log_every", "validate_every", "clip", "max_stride")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run; same record, same machine, same weights.

    Attributes
    ----------
    model
        Size and switches of the network.
    seed
        Seed of the initial weights and of every batch.
    steps
        Length of the run; the last ``decay`` share of it lets the learning rate fall
        to 0 linearly, after a constant middle. ``decay=1`` is the paper's schedule.
    data
        "scenes", or the layout of the files that are trained on (``--data``).
    tracks
        Points per batch; support and query points share them.
    batch
        Windows per batch, instead of as many as fit ``tracks``; 0 for the latter.
    support, queries
        Points per window; 0 draws 8 to 576 and 48 to 96 anew for each batch (8 to 40
        and 24 in batches of joints).
    most_support
        Largest number of support points that is drawn.
    spoil
        Spoil exact tracks as trackers do.
    joints
        Share of the batches of scenes that show the joints of figures alone, most of
        them before a camera that stands or is held by hand: what pose detectors give.
    facing
        Share of the batches of scenes that show a wall met head-on, where going
        towards it and zooming look alike.
    clips
        File of recorded motion that half of the figures replay
        (`seurat_tracks.scenes.mocap`); none by default.
    known_focal
        Share of the windows whose focal length the network is told.
    max_stride
        Windows of files take every frame, or every second, up to this.
    loss
        "laplace" (absolute error with a likelihood) or "l1" (the paper's, Eq. 8).
    learning_rate, weight_decay, beta2, warmup
        AdamW, and the steps in which its rate rises.
    clip
        Largest gradient norm (CoTracker2's is 10; the paper states none).
    ema
        Decay of the averaged weights, which are the ones that are shipped.
    bfloat16
        Compute the network in bfloat16; weights stay float32.
    log_every, validate_every
        Steps between rows of the curves; the first picture comes after a tenth.
    """

    model: ModelConfig = field(default_factory=lambda: PRESETS["small"])
    seed: int = 0
    steps: int = 100_000
    data: str = "scenes"
    tracks: int = 1300
    batch: int = 0
    support: int = 0
    queries: int = 0
    most_support: int = 576
    spoil: bool = True
    joints: float = 0.2
    facing: float = 0.1
    clips: str = ""
    known_focal: float = 0.5
    max_stride: int = 1
    loss: str = "laplace"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    beta2: float = 0.98
    warmup: int = 1000
    decay: float = 0.25
    clip: float = 1.0
    ema: float = 0.999
    bfloat16: bool = True
    log_every: int = 50
    validate_every: int = 1000

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, with every fault at once."""
        faults = [
            f"{name}={getattr(self, name)} must be positive"
            for name in _POSITIVE
            if not 0 < getattr(self, name) < math.inf
        ]
        for name in ("learning_rate", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                faults.append(f"{name}={getattr(self, name)} must be finite, from 0")
        if not 0 <= self.beta2 < 1:
            faults.append(f"beta2={self.beta2} must be in [0, 1)")
        faults += self.model.faults()
        if not 0 < self.decay <= 1:
            faults.append(f"decay={self.decay} must be in (0, 1]")
        if not 0 <= self.ema < 1:
            faults.append(f"ema={self.ema} must be in [0, 1)")
        for name in ("known_focal", "joints", "facing"):
            if not 0 <= getattr(self, name) <= 1:
                faults.append(f"{name}={getattr(self, name)} must be in [0, 1]")
        if self.most_support < 8:
            faults.append(f"most_support={self.most_support} must be from 8")
        if self.loss not in LOSSES:
            faults.append(f"loss={self.loss!r} must be one of {', '.join(LOSSES)}")
        if min(self.tracks, self.batch, self.support, self.queries, self.seed) < 0:
            faults.append("tracks, batch, support, queries, seed must not be negative")
        if faults:
            raise TrainingError("; ".join(faults))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields but the network's as plain JSON values."""
        return {k: v for k, v in asdict(self).items() if k != "model"}


# What the paper states (section 4.2), and, where it is silent, what CoTracker2's
# published training code does, on which its numbers seem to rest: clip 10, beta2 0.999.
PAPER = TrainConfig(
    model=replace(PRESETS["base"], heads=8, near=0, far=0, motions=0, iterations=4),
    data="kubric",
    batch=8,
    support=576,
    queries=192,
    spoil=False,
    known_focal=0.0,
    loss="l1",
    learning_rate=5e-4,
    beta2=0.999,
    decay=1.0,
    clip=10.0,
)

RECIPES = {"ours": TrainConfig(), "paper": PAPER}
"""Recipes by name; `paper` needs its data, which is not in this package."""


def with_settings(config: TrainConfig, settings: Iterable[str]) -> TrainConfig:
    """Change fields of a run or of its network, given as text.

    Parameters
    ----------
    config
        What to begin from.
    settings
        "NAME=VALUE", such as "steps=2000" or "layers=2"; a name is a field of
        `TrainConfig` or of `ModelConfig`.

    Raises
    ------
    TrainingError
        For an unknown name or a value of another type.

    Examples
    --------
    >>> with_settings(TrainConfig(), ["steps=2000", "layers=2"]).model.layers
    2
    """
    ours: dict[str, Any] = {}
    network: dict[str, Any] = {}
    own = {f.name for f in fields(TrainConfig)} - {"model"}
    models = {f.name for f in fields(ModelConfig)}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise TrainingError(f"a setting is NAME=VALUE, got {setting!r}")
        if name in own:
            ours[name] = _value(name, text, getattr(config, name))
        elif name in models:
            network[name] = _value(name, text, getattr(config.model, name))
        else:
            raise TrainingError(
                f"no setting {name!r}; of the run: {', '.join(sorted(own))}; of the "
                f"network: {', '.join(sorted(models))}"
            )
    try:
        model = replace(config.model, **network)
    except ValueError as error:
        raise TrainingError(str(error)) from error
    return replace(config, model=model, **ours)


def _value(name: str, text: str, like: Any) -> Any:
    """Read a value of the type of another."""
    kind = type(like)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (KeyError, ValueError):
        what = "true or false" if kind is bool else f"of type {kind.__name__}"
        raise TrainingError(f"{name}={text!r}: the value must be {what}") from None


def make_config(
    recipe: str = "ours", preset: str | None = None, settings: Iterable[str] = ()
) -> TrainConfig:
    """Build a run from a recipe, a size of network, and changes to both.

    Parameters
    ----------
    recipe
        Name in `RECIPES`.
    preset
        Name in `seurat_tracks.model.config.PRESETS`; the recipe's own by default.
    settings
        As in `with_settings`.

    Raises
    ------
    TrainingError
        For an unknown name or a value that does not fit.
    """
    for name, known in ((recipe, RECIPES), (preset, PRESETS)):
        if name is not None and name not in known:
            raise TrainingError(f"no {name!r}: choose from {', '.join(sorted(known))}")
    config = RECIPES[recipe]
    if preset is not None:
        config = replace(config, model=PRESETS[preset])
    return with_settings(config, settings)
