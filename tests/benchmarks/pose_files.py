"""Large pose files, as the programs' own libraries write them."""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

KEYPOINTS = 25
"""Keypoints of an animal; tracks are animals times these."""

KINDS = {
    "deeplabcut": ("CSV", ".csv"),
    "deeplabcut ": ("HDF5", ".h5"),
    "sleap": ("analysis HDF5", ".h5"),
    "sleap ": ("project", ".slp"),
    "nwb": ("HDF5", ".nwb"),
}
"""Format (a space tells a second kind), what the file is, its ending."""


def names_of(ds: xr.Dataset) -> list[str]:
    """Return what each track is called once it has been read back."""
    return [
        f"animal{i // KEYPOINTS}/point{i % KEYPOINTS}" for i in range(ds.sizes["track"])
    ]


def write_poses(ds: xr.Dataset, kind: str, path: Path) -> None:
    """Write positions and confidence (NaN where hidden) by the libraries themselves."""
    seen = ds["visible"].transpose("time", "track").values
    xy = ds["xy"].transpose("time", "track", "coord").values.astype(float)
    xy = np.where(seen[..., None], xy, np.nan)
    score = np.where(seen, 0.9, np.nan)
    shape = (len(xy), xy.shape[1] // KEYPOINTS, KEYPOINTS)
    xy, score = xy.reshape(*shape, 2), score.reshape(shape)
    animals = [f"animal{i}" for i in range(shape[1])]
    nodes = [f"point{i}" for i in range(KEYPOINTS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind.strip() == "deeplabcut":
            _deeplabcut(xy, score, animals, nodes, path)
        elif kind.strip() == "sleap":
            _sleap(xy, score, animals, nodes, path)
        else:
            _nwb(xy, score, animals, nodes, path)


def _deeplabcut(
    xy: np.ndarray, score: np.ndarray, animals: list[str], nodes: list[str], path: Path
) -> None:
    import pandas as pd

    values = np.concatenate([xy, score[..., None]], -1)
    columns = pd.MultiIndex.from_product(
        [["net"], animals, nodes, ["x", "y", "likelihood"]],
        names=["scorer", "individuals", "bodyparts", "coords"],
    )
    frame = pd.DataFrame(values.reshape(len(xy), -1), columns=columns)
    if path.suffix == ".csv":
        frame.to_csv(path)
    else:
        # so many columns do not fit into the header of pandas' other layout
        frame.to_hdf(path, key="df_with_missing", format="fixed", mode="w")


def _sleap(
    xy: np.ndarray, score: np.ndarray, animals: list[str], nodes: list[str], path: Path
) -> None:
    import sleap_io

    skeleton = sleap_io.Skeleton(nodes=nodes, name="animal")
    tracks = [sleap_io.Track(name) for name in animals]
    video = sleap_io.Video(filename="clip.mp4", open_backend=False)
    frames = []
    for t in range(len(xy)):
        instances = [
            sleap_io.PredictedInstance.from_numpy(
                xy[t, a],
                point_scores=np.nan_to_num(score[t, a]),
                score=0.8,
                skeleton=skeleton,
                track=tracks[a],
            )
            for a in range(len(animals))
        ]
        frames.append(
            sleap_io.LabeledFrame(video=video, frame_idx=t, instances=instances)
        )
    labels = sleap_io.Labels(frames, tracks=tracks)
    if path.suffix == ".slp":
        sleap_io.save_slp(labels, str(path))
    else:
        sleap_io.save_analysis_h5(labels, str(path))


def _nwb(
    xy: np.ndarray, score: np.ndarray, animals: list[str], nodes: list[str], path: Path
) -> None:
    import ndx_pose
    import pynwb

    nwb = pynwb.NWBFile(
        session_description="benchmark",
        identifier="1",
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    module = nwb.create_processing_module("behavior", "poses")
    skeletons: list[Any] = []
    for a, animal in enumerate(animals):
        skeletons.append(ndx_pose.Skeleton(name=f"{animal}_s", nodes=nodes))
        series = [
            ndx_pose.PoseEstimationSeries(
                name=node,
                data=xy[:, a, k],
                confidence=score[:, a, k],
                unit="pixels",
                reference_frame="top left",
                rate=25.0,
                starting_time=0.0,
            )
            for k, node in enumerate(nodes)
        ]
        module.add(
            ndx_pose.PoseEstimation(
                name=animal, pose_estimation_series=series, skeleton=skeletons[-1]
            )
        )
    module.add(ndx_pose.Skeletons(skeletons=skeletons))
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(nwb)
