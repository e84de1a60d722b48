"""Make the sample that the napari plugin brings: render a clip, track it, lift it.

``python docs/make_napari_sample.py`` writes ``clip.mp4`` and ``tracks.zarr`` into the
plugin's folder ``sample_data``. Everything is drawn here, nothing is from elsewhere: a
ball and a box move through a room, and the camera moves too. The tracks are those of
the Lucas-Kanade tracker on the written clip, lifted with the rendered depth as the
source of scale.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

import seurat_tracks as st
from seurat_tracks.notebook.animate import write_mp4

FOLDER = Path(__file__).resolve().parents[1] / (
    "napari_plugin/napari_seurat_tracks/sample_data"
)
WIDTH, HEIGHT, FRAMES, FPS = 288, 216, 48, 24.0
INTRINSICS = (260.0, 260.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)


def noise(u: np.ndarray, v: np.ndarray, seed: int) -> np.ndarray:
    """Value noise of four octaves, 0 to 1."""
    total = np.zeros_like(u)
    table = np.random.default_rng(seed).uniform(0, 1, (256, 256))
    for octave in range(4):
        a, b = u * 2**octave, v * 2**octave
        i, j = np.floor(a).astype(int), np.floor(b).astype(int)
        f, g = (w * w * (3 - 2 * w) for w in (a - i, b - j))
        corner = [table[(i + p) % 256, (j + q) % 256] for p in (0, 1) for q in (0, 1)]
        low = corner[0] * (1 - g) + corner[1] * g
        high = corner[2] * (1 - g) + corner[3] * g
        total += (low * (1 - f) + high * f) / 2 ** (octave + 1)
    return total


def turn_y(angle: float) -> np.ndarray:
    """Rotation about the vertical."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def cast_planes(origin: np.ndarray, rays: np.ndarray):
    """Floor, back wall and left wall: distance along the ray, and colour."""
    for axis, value, seed, tint in (
        (1, 1.1, 1, (0.75, 0.62, 0.48)),
        (2, 7.0, 2, (0.62, 0.68, 0.74)),
        (0, -2.6, 3, (0.66, 0.74, 0.62)),
    ):
        with np.errstate(divide="ignore"):
            t = (value - origin[axis]) / rays[..., axis]
        t = np.where(t > 0, t, np.inf)
        hit = origin + np.where(np.isfinite(t), t, 0.0)[..., None] * rays
        u, v = (hit[..., i] for i in range(3) if i != axis)
        check = 0.12 * ((np.floor(u) + np.floor(v)) % 2)
        shade = 0.35 + 0.75 * noise(2.5 * u + 40, 2.5 * v + 40, seed) - check
        yield t, shade[..., None] * np.array(tint)


def cast_ball(origin, rays, centre, radius, spin):
    """Hit a rolling ball."""
    o = origin - centre
    a, b = (rays**2).sum(-1), (rays * o).sum(-1)
    c = (o**2).sum() - radius**2
    root = b * b - a * c
    t = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    hit = (o + np.where(np.isfinite(t), t, 0.0)[..., None] * rays) / radius
    c, s = np.cos(spin), np.sin(spin)
    x, y = c * hit[..., 0] + s * hit[..., 1], -s * hit[..., 0] + c * hit[..., 1]
    shade = 0.3 + 0.9 * noise(3 * x + 20, 3 * (y + 2 * hit[..., 2]) + 20, 5)
    return t, shade[..., None] * np.array((0.95, 0.45, 0.3))


def cast_box(origin, rays, centre, half, angle):
    """Hit a turning box."""
    turn = turn_y(angle)
    o, d = (origin - centre) @ turn, rays @ turn
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = (-half - o) / d, (half - o) / d
    near, far = np.minimum(near, far), np.maximum(near, far)
    enter, leave = near.max(-1), far.min(-1)
    t = np.where((enter < leave) & (enter > 0), enter, np.inf)
    hit = o + np.where(np.isfinite(t), t, 0.0)[..., None] * d
    side = near.argmax(-1)
    u = np.where(side == 0, hit[..., 2], hit[..., 0])
    v = np.where(side == 1, hit[..., 2], hit[..., 1])
    shade = 0.35 + 0.8 * noise(5 * u + 30 + 7 * side, 5 * v + 30, 7)
    light = np.array([0.75, 1.1, 1.0])[side]
    return t, (shade * light)[..., None] * np.array((0.4, 0.6, 0.95))


def render(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one frame: uint8 (y, x, rgb), and depth (y, x) in metres."""
    s = frame / (FRAMES - 1)
    origin = np.array([-0.5 + 0.9 * s, -0.15 + 0.05 * np.sin(5 * s), 0.5 * s])
    fx, fy, cx, cy = INTRINSICS
    colours, depths = [], []
    for dx, dy in ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)):
        x, y = np.meshgrid(np.arange(WIDTH) + dx, np.arange(HEIGHT) + dy)
        rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x)], -1)
        rays = rays @ turn_y(0.12 - 0.25 * s).T
        hits = list(cast_planes(origin, rays))
        ball = np.array([1.9 - 3.0 * s, 0.75, 3.2 + 0.3 * s])
        hits.append(cast_ball(origin, rays, ball, 0.35, -3.0 * s / 0.35))
        box = np.array([-0.7 + 0.3 * s, 0.6, 5.4 - 1.1 * s])
        hits.append(cast_box(origin, rays, box, np.array([0.45, 0.5, 0.45]), 0.9 * s))
        t = np.stack([h[0] for h in hits])
        nearest = t.argmin(0)[None, ..., None]
        colour = np.stack([np.broadcast_to(h[1], (*x.shape, 3)) for h in hits])
        colours.append(np.take_along_axis(colour, nearest, 0)[0])
        depths.append(t.min(0))  # rays have z = 1 before the camera turns
    image = np.clip(np.mean(colours, 0), 0, 1)
    return (255 * image).astype(np.uint8), np.median(depths, 0).astype(np.float32)


def rounded(values: np.ndarray, step: float) -> np.ndarray:
    """Drop digits that mean nothing, so that the store compresses."""
    return (np.round(values / step) * step).astype(np.float32)


def main() -> None:
    """Write the sample."""
    FOLDER.mkdir(exist_ok=True)
    frames = [render(k) for k in range(FRAMES)]
    clip = write_mp4([f[0] for f in frames], FOLDER / "clip.mp4", FPS)
    maps = np.stack([f[1] for f in frames])
    x, y = np.meshgrid(np.linspace(8, WIDTH - 9, 17), np.linspace(8, HEIGHT - 9, 12))
    grid = np.stack([x.ravel(), y.ravel()], -1)
    queries = [np.column_stack([np.full(len(grid), t), grid]) for t in (0, 30)]
    tracks = st.track(clip, np.concatenate([queries[0], queries[1][::4]]))
    out = tracks.seurat.lift3d(depth=maps, intrinsics=INTRINSICS).compute()
    out = out.drop_dims("window")
    steps = {"xy": 1 / 32, "log_depth_ratio": 1 / 2048}
    for name in out.data_vars:
        if out[name].dtype == np.float32:
            out[name] = out[name].copy(
                data=rounded(out[name], steps.get(name, 1 / 512))
            )
    out.attrs["depth_source"] = "depth maps rendered with the clip"
    out.seurat.validate()
    shutil.rmtree(FOLDER / "tracks.zarr", ignore_errors=True)
    out.seurat.save(FOLDER / "tracks.zarr")


if __name__ == "__main__":
    main()
