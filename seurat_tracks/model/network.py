"""The two-branch transformer of the paper (section 3.3), with local pair features.

Support points describe the scene: they attend to themselves over time and to each
other in every frame. A query attends to itself over time and, in every frame, to the
support of that frame, never to another query: every query's answer is its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.features import (
    PAIR_CHANNELS,
    POINT_CHANNELS,
    RIGID_CHANNELS,
    fill_hidden,
    motion_scale,
    neighbours,
    pair_features,
    point_features,
    rigid_features,
)
from seurat_tracks.model.rigid import moves_otherwise, solve_motion, solve_points
from seurat_tracks.model.views import RigidMotion

SMALLEST = 3e-4
"""Least Laplace scale of an error, natural-log units: nothing is known better."""

PAIRS = 16_384
"""Pairs of points and frames that are read at once on the CPU."""

TOGETHER = 4
"""Points whose frames are attended to in one go; see `Attention.within`."""


class Prediction(NamedTuple):
    """What the network says of each point and frame of a window.

    Attributes
    ----------
    log_ratio : Tensor (B, N, T)
        log(z_t / z_0), 0 at the window's first frame by construction (Eq. 7).
    log_scale : Tensor (B, N, T)
        Log of the Laplace scale of its error, natural-log units.
    """

    log_ratio: Tensor
    log_scale: Tensor


@dataclass
class SupportState:
    """A window's support, encoded once and read by any number of queries.

    Attributes
    ----------
    xy : Tensor (B, M, T, 2)
        Filled normalised positions.
    visible : bool Tensor (B, M, T)
    seen : bool Tensor (B, M)
        Seen anywhere in the window; the others are masked in attention.
    mask : bool Tensor (B, M) or None
        The same; None where all are seen, which is faster.
    scale, mean : Tensor (B,), Tensor (B, T, 2)
        From `motion_scale`.
    motions : list of RigidMotion
        Rigid motions of the window: that of most points, then those of the rest.
    features : list of list of Tensor (B, M, T, C)
        Input of every layer, per iteration: what queries attend to (Eq. 6).
    predictions : list of Prediction
        Per iteration; without the last one where only queries are asked about.
    keys : list of list of (Tensor, Tensor)
        Keys and values of `features` as queries read them, worked out once.
    """

    xy: Tensor
    visible: Tensor
    seen: Tensor
    mask: Tensor | None
    scale: Tensor
    mean: Tensor
    motions: list[RigidMotion]
    features: list[list[Tensor]]
    predictions: list[Prediction]
    keys: list[list[tuple[Tensor, Tensor]]] = field(default_factory=list)


class Attention(nn.Module):
    """Multi-head attention over the second-to-last axis, keys from elsewhere."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def project(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (A, H, M, C / H) of a context (A, M, C)."""
        k, v = self.key_value(context).chunk(2, dim=-1)
        return self._heads(k), self._heads(v)

    def forward(self, x: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Attend from x (A, N, C) to what `project` gave; mask (A or 1, 1, N or 1, M).

        One kernel that never holds all weights (Dao et al. 2022).
        """
        y = F.scaled_dot_product_attention(self._heads(self.query(x)), k, v, mask)
        return self.out(y.transpose(1, 2).flatten(-2))

    def within(self, x: Tensor) -> Tensor:
        """Attend within each of many short sequences, x (A, T, C).

        A kernel's tiles are longer than a window: some sequences are laid end to end
        and a mask keeps them apart, which is the same and faster.
        """
        A, T, C = x.shape
        many = math.gcd(A, TOGETHER)
        apart = torch.eye(many, dtype=torch.bool, device=x.device)
        apart = apart.repeat_interleave(T, 0).repeat_interleave(T, 1)
        x = x.reshape(A // many, many * T, C)
        y = self(x, *self.project(x), apart[None, None] if many > 1 else None)
        return y.reshape(A, T, C)

    def _heads(self, a: Tensor) -> Tensor:
        return a.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Perceptron(nn.Sequential):
    """Two linear layers with a GELU between; the norm before it carries the bias."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(
            nn.Linear(width, hidden, bias=False),
            nn.GELU(),
            nn.Linear(hidden, width, bias=False),
        )


class Layer(nn.Module):
    """Temporal attention within a track, then spatial attention to the support."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, hidden = config.width, int(config.width * config.mlp_ratio)
        self.norm_time = nn.LayerNorm(width)
        self.time = Attention(width, config.heads)
        self.norm_time_mlp = nn.LayerNorm(width)
        self.time_mlp = Perceptron(width, hidden)
        self.norm_space = nn.LayerNorm(width)
        self.norm_support = nn.LayerNorm(width)
        self.space = Attention(width, config.heads)
        self.norm_space_mlp = nn.LayerNorm(width)
        self.space_mlp = Perceptron(width, hidden)

    def keys(self, support: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B T, H, M, C / H) of support tokens (B, M, T, C)."""
        y = self.norm_support(support).transpose(1, 2)
        return self.space.project(y.flatten(0, 1))

    def forward(
        self,
        x: Tensor,
        keys: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
    ) -> Tensor:
        """Update tokens x (B, N, T, C).

        keys are those of the support, None for x itself; mask is bool (B, M), True
        where the support point counts, or None if all do.
        """
        B, N, T, C = x.shape
        y = self.norm_time(x).reshape(B * N, T, C)
        x = x + self.time.within(y).reshape(B, N, T, C)
        x = x + self.time_mlp(self.norm_time_mlp(x))
        k, v = self.keys(x) if keys is None else keys
        y = self.norm_space(x).transpose(1, 2).reshape(B * T, N, C)
        if mask is not None:
            M = mask.shape[1]
            mask = mask[:, None].expand(B, T, M).reshape(B * T, 1, 1, M)
        z = self.space(y, k, v, mask).reshape(B, T, N, C).transpose(1, 2)
        x = x + z
        return x + self.space_mlp(self.norm_space_mlp(x))


class Branch(nn.Module):
    """Embedding, layers and head of one branch."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, pair = config.width, config.pair_width
        self.embed = nn.Linear(POINT_CHANNELS, width)
        self.pair = nn.Sequential(
            nn.Linear(PAIR_CHANNELS, pair), nn.GELU(), nn.Linear(pair, pair), nn.GELU()
        )
        self.pair_out = nn.Linear(4 * pair, width, bias=False)
        if config.motions:
            told = config.motions * RIGID_CHANNELS
            self.rigid = nn.Linear(told, width, bias=False)
            self.blend = nn.Linear(width, 1 + config.motions)
            nn.init.zeros_(self.blend.weight)
            nn.init.zeros_(self.blend.bias)
        self.previous = nn.Linear(2, width, bias=False)
        self.time = nn.Parameter(0.02 * torch.randn(config.window, width))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def tokens(
        self, xy: Tensor, visible: Tensor, support: SupportState
    ) -> tuple[Tensor, Tensor]:
        """Embed points (B, N, T, 2) as tokens (B, N, T, C).

        Also return the log ratios (B, N, T, 1 + motions) among which the head blends:
        none, and that of every rigid motion.
        """
        config = self.config
        with torch.autocast(xy.device.type, enabled=False):
            told, ratios = [], [torch.zeros_like(xy[..., 0])]
            for motion in support.motions:
                places = solve_points(xy, visible, support.scale, motion)
                features, ratio = rigid_features(
                    xy, visible, support.scale, motion, places
                )
                told.append(features)
                ratios.append(ratio)
        seen_count = support.seen.sum(1)
        alone = point_features(xy, visible, support.scale, support.mean, seen_count)
        index, valid = neighbours(
            xy[:, :, 0], support.xy[:, :, 0], support.seen, config.near, config.far
        )
        points = xy, visible, index, valid
        # on the CPU, arrays that do not leave the heap; a longer one comes anew each
        # time
        few = PAIRS // max(index.shape[-1] * xy.shape[2] * len(xy), 1) or 1
        few = few if xy.device.type == "cpu" else xy.shape[1]
        pooled = [
            self.pool(support, *some)
            for some in zip(*(a.split(few, 1) for a in points), strict=True)
        ]
        dtype = self.embed.weight.dtype  # features are float32, whatever follows
        tokens = self.embed(alone.to(dtype)) + self.pair_out(torch.cat(pooled, 1))
        if told:
            tokens = tokens + self.rigid(torch.cat(told, -1).to(dtype))
        return tokens + self.time.to(tokens.dtype), torch.stack(ratios, -1)

    def pool(
        self,
        support: SupportState,
        xy: Tensor,
        visible: Tensor,
        index: Tensor,
        valid: Tensor,
    ) -> Tensor:
        """Read all pairs of some points; mean and maximum over neighbours (B, N, T, P).

        Parameters are those of `seurat_tracks.model.features.pair_features`.
        """
        near = self.config.near
        pairs, weight = pair_features(
            xy, visible, support.xy, support.visible, index, valid, support.scale
        )
        y = pairs.flatten(1)
        for linear in (self.pair[0], self.pair[2]):
            weights, bias = cast(Tensor, linear.weight), cast(Tensor, linear.bias)
            y = F.gelu(torch.addmm(bias[:, None], weights, y.to(weights.dtype)))
        y = raised = y.unflatten(1, pairs.shape[1:])
        w = weight.to(y.dtype)
        if y.device.type != "cpu" or not bool(w.all()):
            y = y * w
            raised = y + (w - 1.0)  # the same as y where all are seen
        pooled = []
        for part in (slice(None, near), slice(near, None)):
            if w[part].shape[0] == 0:
                none = y[:, part].sum(1)  # zeros
                pooled += [none, none - 1.0]
                continue
            pooled.append(y[:, part].sum(1) / w[part].sum(0).clamp_min(1.0))
            # GELU is above -0.2, so that hidden neighbours never win the maximum
            pooled.append(raised[:, part].amax(1).clamp_min(-1.0))
        return torch.cat(pooled).permute(1, 2, 3, 0)

    def predict(self, x: Tensor, ratios: Tensor, scale: Tensor) -> Prediction:
        """Read log ratio and log error scale off the last tokens.

        The answer is a blend of the rigid motions' ratios (B, N, T, 1 + motions), plus
        what the network says beyond them.
        """
        with torch.autocast(x.device.type, enabled=False):
            last = self.norm(x.float())
            y = F.linear(last, self.head.weight, self.head.bias)
            blend = torch.zeros_like(ratios[..., 0])
            if self.config.motions:
                share = F.linear(last, self.blend.weight, self.blend.bias).softmax(-1)
                blend = (share * ratios).sum(-1)
        ratio, spread = y[..., 0], y[..., 1]
        s = scale[:, None, None]
        log_scale = spread.clamp(-7.0, 7.0) + s.log() - 1.0
        log_scale = torch.logaddexp(log_scale, log_scale.new_tensor(SMALLEST).log())
        beyond = s * (ratio - ratio[..., :1])
        return Prediction(blend - blend[..., :1] + beyond, log_scale)

    def feed_back(self, last: Prediction | None, scale: Tensor) -> Tensor | float:
        """Embed the previous prediction; it is detached, as in RAFT and CoTracker."""
        if last is None:
            return 0.0
        s = scale[:, None, None]
        ratio = (last.log_ratio.detach() / s).clamp(-8.0, 8.0)
        spread = (last.log_scale.detach() - s.log()).clamp(-8.0, 8.0)
        told = torch.stack([ratio, spread], dim=-1)
        return self.previous(told.to(self.previous.weight.dtype))


class SeuratNetwork(nn.Module):
    """Point motion in a window to the log depth ratio of every point and frame.

    Parameters
    ----------
    config
        Size of the network.

    Attributes
    ----------
    even_batches : bool
        Whether all batches should have one shape, since each new one is compiled.
    """

    even_batches = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.support_branch = Branch(config)
        self.query_branch = (
            self.support_branch if config.shared_branches else Branch(config)
        )

    def lower(self, dtype: torch.dtype) -> None:
        """Turn all weights but those of the heads to another type, in place."""
        for branch in {self.support_branch, self.query_branch}:
            for name, part in branch.named_children():
                if name not in ("norm", "head", "blend"):
                    part.to(dtype)
            branch.time.data = branch.time.data.to(dtype)

    def _motions(
        self, support: SupportState, log_focal: Tensor | None
    ) -> list[RigidMotion]:
        """Fit one rigid motion after another, each to what the others leave."""
        found: list[RigidMotion] = []
        left: Tensor | None = None
        xy, visible, scale = support.xy, support.visible, support.scale
        with torch.autocast(xy.device.type, enabled=False):
            for _ in range(self.config.motions):
                motion = solve_motion(xy, visible, scale, log_focal, left)
                found.append(motion)
                if len(found) == self.config.motions:
                    break
                points = solve_points(xy, visible, scale, motion)
                others = moves_otherwise(points, visible, motion)
                left = others if left is None else left & others
                log_focal = motion.log_focal
        return found

    def encode_support(
        self,
        xy: Tensor,
        visible: Tensor,
        iterations: int | None = None,
        log_focal: Tensor | None = None,
        *,
        answers: bool = True,
    ) -> SupportState:
        """Encode the support of a batch of windows.

        Parameters
        ----------
        xy : Tensor (B, M, T, 2)
            Normalised positions (centre 0, half the longer side 1); anything, NaN
            included, where hidden.
        visible : bool Tensor (B, M, T)
        iterations
            Refinement passes; the configuration's number by default.
        log_focal : Tensor (B,), optional
            Log focal length, half longer sides; NaN where unknown.
        answers
            Whether the support's own last prediction is wanted; queries need neither
            it nor the last layer that leads to it.

        Returns
        -------
        SupportState
        """
        branch = self.support_branch
        xy = fill_hidden(xy, visible)
        seen = visible.any(-1)
        scale, mean = motion_scale(xy, visible)
        mask = None if bool(seen.all()) else seen
        state = SupportState(xy, visible, seen, mask, scale, mean, [], [], [])
        state.motions.extend(self._motions(state, log_focal))
        base, ratios = branch.tokens(xy, visible, state)
        last: Prediction | None = None
        passes = iterations or self.config.iterations
        for i in range(passes):
            x = base + branch.feed_back(last, scale)
            inputs: list[Tensor] = []
            state.features.append(inputs)
            for layer in branch.layers:
                inputs.append(x)
                ends = i == passes - 1 and len(inputs) == len(branch.layers)
                if ends and not answers:
                    return state
                x = layer(x, None, mask)
            last = branch.predict(x, ratios, scale)
            state.predictions.append(last)
        return state

    def query(
        self, xy: Tensor, visible: Tensor, support: SupportState
    ) -> list[Prediction]:
        """Predict for query points, one prediction per iteration of the support.

        Parameters
        ----------
        xy : Tensor (B, N, T, 2)
            Normalised positions; anything, NaN included, where hidden.
        visible : bool Tensor (B, N, T)
        support
            From `encode_support` for the same windows.
        """
        branch = self.query_branch
        xy = fill_hidden(xy, visible)
        base, ratios = branch.tokens(xy, visible, support)
        last: Prediction | None = None
        predictions = []
        if not support.keys:
            support.keys = [
                [
                    cast(Layer, layer).keys(x)
                    for layer, x in zip(branch.layers, inputs, strict=True)
                ]
                for inputs in support.features
            ]
        for keys in support.keys:
            x = base + branch.feed_back(last, support.scale)
            for layer, key in zip(branch.layers, keys, strict=True):
                x = layer(x, key, support.mask)
            last = branch.predict(x, ratios, support.scale)
            predictions.append(last)
        return predictions

    def forward(
        self,
        support_xy: Tensor,
        support_visible: Tensor,
        query_xy: Tensor,
        query_visible: Tensor,
        iterations: int | None = None,
        log_focal: Tensor | None = None,
    ) -> tuple[list[Prediction], list[Prediction]]:
        """Return the query's and the support's predictions, one per iteration."""
        state = self.encode_support(support_xy, support_visible, iterations, log_focal)
        return self.query(query_xy, query_visible, state), state.predictions
