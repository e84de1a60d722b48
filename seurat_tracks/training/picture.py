"""Pictures of predictions against the truth, to look at while a run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from seurat_tracks.training.data import Batch
from seurat_tracks.training.loss import targets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seurat_tracks.model.network import Prediction


def draw_predictions(
    batches: dict[str, Batch], predictions: dict[str, list[Prediction]]
) -> Figure:
    """Draw one window of every held-out batch.

    Parameters
    ----------
    batches
        Held-out windows by name.
    predictions
        Of the query points, by the same names; the last iteration is drawn.

    Returns
    -------
    Figure
        Per column, of a window: query points where they are in the first frame,
        coloured by the true log depth ratio of the last frame and by the predicted
        one, and the second over the first.
    """
    from matplotlib.figure import Figure  # without pyplot, hence without a display

    figure = Figure(figsize=(2.2 * len(batches), 6.6), layout="constrained")
    axes = figure.subplots(3, len(batches), squeeze=False)
    for column, (name, batch) in zip(axes.T, batches.items(), strict=True):
        M = batch.support
        truth, weight = targets(batch.z[:, M:], batch.truly_visible[:, M:])
        # the window in which most happens
        moved = ((truth[..., -1].abs() * weight[..., -1]).sum(-1)).argmax()
        use = weight[moved, :, -1] > 0
        real = truth[moved, use, -1].cpu()
        said = predictions[name][-1].log_ratio[moved, use, -1].float().cpu()
        xy = batch.xy[moved, M:, 0][use].cpu()
        top = float(torch.cat([real.abs(), said.abs(), real.new_tensor([1e-3])]).max())
        for ax, value, what in zip(
            column, (real, said), ("true", "said"), strict=False
        ):
            ax.scatter(
                xy[:, 0], -xy[:, 1], c=value, s=9, cmap="coolwarm", vmin=-top, vmax=top
            )
            ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
            ax.set(xticks=[], yticks=[], title=f"{name}: {what}")
        column[2].plot([-top, top], [-top, top], color="0.8", lw=1)
        column[2].scatter(real, said, s=5)
        column[2].set(xlabel="true log ratio", aspect="equal")
    return figure
