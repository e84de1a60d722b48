"""Video with exactly known motion, made of still pictures.

Two or three planes stand or move in front of a moving pinhole camera; each carries a
picture, and the nearer ones are cut out by a mask. A plane's motion in the image is the
homography K (R - t n' / d) K^-1 of its pose (Hartley and Zisserman 2004, section 13.1),
so tracks and visibility are exact for every pixel. Some planes also bend. Then come
motion blur, defocus, a slow change of exposure, sensor noise, and H.264.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

SIZES = ((480, 360), (640, 360), (640, 480), (854, 480))


def load_pictures(paths: list[Path], per_file: int = 6) -> list[np.ndarray]:
    """Pictures spread evenly over each video, RGB uint8."""
    pictures = []
    for path in paths:
        with av.open(str(path)) as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        places = np.linspace(0, len(frames) - 1, per_file).astype(int)
        pictures += [frames[i] for i in places]
    return pictures


@dataclass
class Layer:
    """One plane: picture, mask, and where its points are seen over time."""

    picture: np.ndarray  # h w 3
    mask: np.ndarray | None  # h w, 0..1; None: everywhere
    to_frame: np.ndarray  # T + 2, 3, 3, picture -> frame; from frame -1 to T
    waves: np.ndarray  # wave, 6: amplitude x and y, wave vector x and y, phase, rate

    def bend(self, q: np.ndarray, t: float) -> np.ndarray:
        """Displacement (..., 2) of picture points q (..., 2), in picture pixels."""
        total = np.zeros_like(q)
        for ax, ay, kx, ky, phase, rate in self.waves:
            angle = kx * q[..., 0] + ky * q[..., 1] + phase
            swing = np.sin(angle + rate * t) - np.sin(angle)
            total += np.stack([ax * swing, ay * swing], -1)
        return total

    def matrix(self, t: float) -> np.ndarray:
        """Homography at a time near a frame: the parabola through three frames."""
        i = round(t)
        before, at, after = self.to_frame[i : i + 3]  # frames i - 1, i, i + 1
        d = t - i
        return at + d * (after - before) / 2 + d**2 * (after - 2 * at + before) / 2

    def forward(self, q: np.ndarray, t: float) -> np.ndarray:
        """Frame positions of picture points."""
        return _apply(self.matrix(t), q + self.bend(q, t))

    def backward(self, x: np.ndarray, t: float) -> np.ndarray:
        """Picture points of frame positions."""
        moved = _apply(np.linalg.inv(self.matrix(t)), x)
        q = moved
        if len(self.waves):
            for _ in range(8):  # converges: the bend's gradient is below 0.3
                q = moved - self.bend(q, t)
        return q

    def covers(self, x: np.ndarray, t: float) -> np.ndarray:
        """Whether the plane's cut-out lies at frame positions x (point, 2)."""
        if self.mask is None or len(x) == 0:
            return np.ones(len(x), bool)
        q = self.backward(x, t).astype(np.float32)
        cover = cv2.remap(self.mask, q[:, None], None, cv2.INTER_LINEAR)[:, 0]
        return cover > 0.5


def _apply(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    y = np.concatenate([x, np.ones_like(x[..., :1])], -1) @ matrix.T
    return y[..., :2] / y[..., 2:]


@dataclass
class Clip:
    """A video and its exact motion; layers from near to far.

    Attributes
    ----------
    frames : uint8 array (time, y, x, rgb)
    layers
        The planes.
    """

    frames: np.ndarray
    layers: list[Layer]

    def follow(
        self, xy: np.ndarray, start: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Exact tracks of points given on one frame.

        Returns
        -------
        xy : array (point, time, 2)
            Pixels, also outside the frame.
        visible : bool array (point, time)
        layer : int array (point,)
        """
        T, height, width = self.frames.shape[:3]
        layer = self.layer_at(xy, start)
        track = np.zeros((len(xy), T, 2))
        for k, plane in enumerate(self.layers):
            q = plane.backward(xy[layer == k], start)
            for t in range(T):
                track[layer == k, t] = plane.forward(q, t)
        x, y = track[..., 0], track[..., 1]
        visible = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
        for t in range(T):
            visible[:, t] &= self.layer_at(track[:, t], t) == layer
        return track, visible, layer

    def other_surfaces(
        self, xy: np.ndarray, layer: np.ndarray, start: int, frames: np.ndarray
    ) -> np.ndarray:
        """Tracks (layer - 1, point, frame, 2) had each point lain on another layer.

        A single layer gives an empty array: nothing can carry a point off.
        """
        tracks = np.zeros((len(self.layers) - 1, len(xy), len(frames), 2))
        for k, plane in enumerate(self.layers):
            mine = layer != k
            row = np.where(k < layer[mine], k, k - 1)
            q = plane.backward(xy[mine], start)
            for i, t in enumerate(frames):
                tracks[row, mine, i] = plane.forward(q, int(t))
        return tracks

    def layer_at(self, xy: np.ndarray, t: int) -> np.ndarray:
        """Index of the nearest layer at frame positions (point, 2)."""
        found = np.full(len(xy), len(self.layers) - 1)
        for k in reversed(range(len(self.layers) - 1)):
            found[self.layers[k].covers(xy, t)] = k
        return found


def _smooth(rng: np.random.Generator, T: int, n: int) -> np.ndarray:
    """Smooth paths (T + 2, n), frames -1 to T, of about unit length, 0 on frame 0."""
    t = np.arange(-1, T + 1)[:, None] / (T - 1)
    path = rng.normal(size=n) * t + 0.7 * rng.normal(size=n) * t * (t - 1)
    for _ in range(2):
        rate, phase = rng.uniform(2, 25, n), rng.uniform(0, 6.28, n)
        gain = 0.5 * rng.normal(size=n) / rate * 3
        path = path + gain * (np.sin(rate * t + phase) - np.sin(phase))
    return path


def _blob(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A cut-out in one to three pieces: smooth blobs, or upright straight edges."""
    mask = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(1, 4)):
        cx, cy = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.9) * height
        r = rng.uniform(0.08, 0.28) * width
        if rng.random() < 0.35:  # furniture, poles
            w, h = r * rng.uniform(0.15, 1), r * rng.uniform(0.5, 2)
            box = cv2.boxPoints(((cx, cy), (w, h), float(rng.normal() * 15)))
            cv2.fillPoly(mask, [box.astype(np.int32)], 1.0)
            continue
        a = np.linspace(0, 6.283, 90, endpoint=False)
        k = np.arange(2, 7)
        waves = np.cos(k * a[:, None] + rng.uniform(0, 6.28, 5)) * rng.normal(size=5)
        radius = r * np.exp(0.25 * (waves / k).sum(1))
        shape = np.stack([cx + radius * np.cos(a), cy + 1.2 * radius * np.sin(a)], -1)
        cv2.fillPoly(mask, [shape.astype(np.int32)], 1.0)
    return cv2.GaussianBlur(mask, (0, 0), 0.8)


def make_clip(
    seed: int,
    pictures: list[np.ndarray],
    frames: int = 40,
    *,
    still: bool = False,
    sizes: tuple[tuple[int, int], ...] = SIZES,
) -> Clip:
    """Draw a clip.

    Parameters
    ----------
    seed
        Decides everything.
    pictures
        Pictures that the planes carry, RGB uint8.
    frames
        Length, T.
    still
        Whether the camera stands and only the nearer planes move.
    sizes
        Widths and heights to choose from.
    """
    rng = np.random.default_rng(seed)
    width, height = sizes[rng.integers(len(sizes))]
    focal = width * rng.uniform(0.7, 1.4)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    depths = np.sort(rng.uniform(0.25, 0.8, rng.integers(1, 3)))
    depths = np.append(depths, 1.0)  # far layer last
    span = np.exp(rng.uniform(np.log(0.02), np.log(0.25)))
    move = _smooth(rng, frames, 3) * span * (0 if still else 1)
    turn = _smooth(rng, frames, 3) * [0.5, 0.8, 0.4] * (0 if still else 1)
    turn *= np.exp(rng.uniform(np.log(0.01), np.log(0.15)))
    layers = []
    for k, depth in enumerate(depths):
        far = k == len(depths) - 1
        picture = pictures[rng.integers(len(pictures))]
        h, w = picture.shape[:2]
        # the picture fills the frame, its pixels no coarser than the frame's if it can
        fit = min(w / width, h / height)
        scale = max(min(fit, 1.0), fit / rng.uniform(1.0, 1.6))
        place = np.diag([scale, scale, 1.0])
        place[:2, 2] = [
            rng.uniform(0, max(w - scale * width, 0)),
            rng.uniform(0, max(h - scale * height, 0)),
        ]
        own = np.zeros((frames + 2, 6))
        if not far and (still or rng.random() < 0.5):
            size = np.exp(rng.uniform(np.log(0.02), np.log(0.3)))
            own = _smooth(rng, frames, 6) * size * [0.3, 0.3, 1, 1, 1, 0.5]
            own[:, 3:] *= depth
        tilt = rng.normal(size=2) * (0.35 if far else 0.25)
        normal = np.array([*tilt, 1.0])
        matrices = []
        for t in range(frames + 2):
            R = cv2.Rodrigues(turn[t])[0] @ cv2.Rodrigues(own[t, :3])[0]
            shift = R @ (own[t, 3:] - move[t])
            H = K @ (R + np.outer(shift, normal) / depth) @ np.linalg.inv(K)
            matrices.append(H @ np.linalg.inv(place))
        waves = np.zeros((0, 6))
        if rng.random() < 0.3:  # cloth, skin, leaves
            n = 3
            length = rng.uniform(60, 200, n) * scale
            angle = rng.uniform(0, 6.28, n)
            size = length * rng.uniform(0.002, 0.012, n)
            waves = np.stack(
                [
                    size * rng.normal(size=n),
                    size * rng.normal(size=n),
                    6.28 / length * np.cos(angle),
                    6.28 / length * np.sin(angle),
                    rng.uniform(0, 6.28, n),
                    rng.uniform(0.05, 0.3, n),
                ],
                -1,
            )
        mask = None
        if not far:
            in_frame = _blob(rng, width, height)
            mask = cv2.warpPerspective(in_frame, place, (w, h))
        layers.append(Layer(picture, mask, np.array(matrices), waves))
    video = _film(rng, layers, (width, height), frames)
    return Clip(video, layers)


def _film(
    rng: np.random.Generator, layers: list[Layer], size: tuple[int, int], T: int
) -> np.ndarray:
    """Render, then spoil the pictures as a camera and a codec do."""
    shutter = rng.choice([0.0, 0.0, 0.3, 0.6])
    defocus = rng.choice([0.0, 0.4, 0.8, 1.3])
    noise = np.exp(rng.uniform(np.log(0.5), np.log(6)))
    exposure = 0.08 * _smooth(rng, T, 1)[1:, 0] * (rng.random() < 0.5)
    crf = int(rng.integers(14, 31))
    frames = []
    for t in range(T):
        # an exposure that is centred on the time of the exact tracks
        times = [t] if shutter == 0 else t + shutter * np.array([-0.4, 0, 0.4])
        picture = np.mean([_render(layers, size, s) for s in times], 0)
        if defocus:
            picture = cv2.GaussianBlur(picture, (0, 0), defocus)
        picture = picture * np.exp(exposure[t]) + noise * rng.normal(size=picture.shape)
        frames.append(np.clip(picture + 0.5, 0, 255).astype(np.uint8))
    return _compressed(np.stack(frames), crf)


def _render(layers: list[Layer], size: tuple[int, int], t: float) -> np.ndarray:
    """Paint far to near, at twice the size and averaged down."""
    width, height = size
    canvas = np.zeros((2 * height, 2 * width, 3), np.float32)
    half = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])
    for layer in reversed(layers):
        picture = layer.picture.astype(np.float32)
        mask = layer.mask
        if len(layer.waves):
            q = _where_from(layer, size, t)
            paint = cv2.remap(
                picture, q, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
            )
            if mask is not None:
                mask = cv2.remap(mask, q, None, cv2.INTER_LINEAR)
        else:
            H = half @ layer.matrix(t)
            big = (2 * width, 2 * height)
            paint = cv2.warpPerspective(
                picture, H, big, borderMode=cv2.BORDER_REFLECT_101
            )
            mask = None if mask is None else cv2.warpPerspective(mask, H, big)
        if mask is None:
            canvas = paint
        else:
            canvas += mask[..., None] * (paint - canvas)
    return cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)


def _where_from(layer: Layer, size: tuple[int, int], t: float) -> np.ndarray:
    """Picture point of every pixel of the doubled frame, float32 (y, x, 2).

    Exact on every sixth pixel and linear between; the shortest wave is 120 pixels.
    """
    width, height = size
    step = 6
    nodes = np.meshgrid(
        np.arange(0, 2 * width + step, step), np.arange(0, 2 * height + step, step)
    )
    at = (np.stack(nodes, -1) - 0.5) / 2  # pixel centres at integers
    q = layer.backward(at, t).astype(np.float32)
    x, y = np.meshgrid(
        np.arange(2 * width, dtype=np.float32) / step,
        np.arange(2 * height, dtype=np.float32) / step,
    )
    return cv2.remap(q, x, y, cv2.INTER_LINEAR)


def _compressed(frames: np.ndarray, crf: int) -> np.ndarray:
    """Encode and decode with H.264."""
    buffer = io.BytesIO()
    height, width = frames.shape[1:3]
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return np.stack(
            [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        )
