"""Where points are put: on what the camera sees, or on the joints of figures."""

from __future__ import annotations

import torch
from torch import Tensor

from seurat_tracks.scenes.actions import random_waves
from seurat_tracks.scenes.bodies import ABSENT, CAPSULE, SHEET, Bodies
from seurat_tracks.scenes.camera import Camera
from seurat_tracks.scenes.motion import Draw


def support_grid(draw: Draw, half: Tensor, count: int) -> Tensor:
    """Draw a shaken grid (B, M, 2) over the frame; half (B, 2). Some are clustered."""
    batch, device = len(half), half.device
    side_x = (count * half[:, 0] / half[:, 1]).sqrt()
    rows = torch.arange(count, device=device) + draw.uniform(batch, 1)
    golden = (rows * 0.6180339887) % 1.0  # an even spread for any number of points
    grid = torch.stack([golden, (rows / count).clamp(max=0.9999)], -1) * 2 - 1
    shake = draw.uniform(batch, count, 2, low=-0.5, high=0.5) / side_x[:, None, None]
    grid = (grid + 0.7 * shake).clamp(-1, 1) * half[:, None]
    heart = draw.uniform(batch, 1, 2, low=-0.8, high=0.8) * half[:, None]
    pull = draw.uniform(batch, 1, 1, low=0.2, high=0.7) * draw.chance(0.2, batch, 1, 1)
    return grid + pull * (heart - grid)


def query_places(
    draw: Draw, camera: Camera, half: Tensor, bodies: Bodies, aim: Tensor, when: Tensor
) -> Tensor:
    """Draw picture places (B, N, 2): anywhere, or near the picture of a body.

    Parameters
    ----------
    draw
        Source of randomness.
    camera, half, bodies
        Of B scenes; half is (B, 2).
    aim, when : int Tensor (B, N)
        Body to look for, and at which time.
    """
    batch, count = aim.shape
    scene = torch.arange(batch, device=aim.device)[:, None]
    anywhere = draw.uniform(batch, count, 2, low=-1, high=1) * half[:, None]
    inner = draw.direction(batch, count) * draw.uniform(batch, count, 1).sqrt()
    target = (bodies.frame[scene, aim, when] @ inner[..., None])[..., 0]
    target = target + bodies.centre[scene, aim, when]
    seen = (
        camera.turn[scene, when].transpose(-1, -2)
        @ (target - camera.position[scene, when])[..., None]
    )[..., 0]
    near = camera.focal[scene, when][..., None] * seen[..., :2]
    near = near / seen[..., 2:].clamp_min(0.05)
    inside = (near.abs() <= half[:, None]).all(-1, keepdim=True)
    inside = inside & (seen[..., 2:] > 0.05)
    inside = inside & (bodies.shape[scene, aim] != ABSENT)[..., None]
    pick = draw.chance(0.6, batch, count, 1) & inside
    return torch.where(pick, near, anywhere)


def marker_points(
    draw: Draw,
    bodies: Bodies,
    owner: Tensor,
    joint: Tensor,
    person: Tensor,
    slots: int,
    count: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw joints, or markers on and in the bodies, one list of points per scene.

    Parameters
    ----------
    draw
        Source of randomness.
    bodies
        Of B scenes.
    owner, joint : int Tensor (B, J), Tensor (B, J, 3)
        Joints of the figure: body (-1 for none) and place in its coordinates.
    person : bool Tensor (B,)
        Scenes that hold a figure, whose bodies are the last `slots`.
    count
        Points, P.

    Returns
    -------
    body : int Tensor (B, P)
    local : Tensor (B, P, 3)
        In the body's coordinates.
    extra : bool Tensor (B, P)
        Points beyond the number of joints, where joints alone were wanted.
    """
    B, J = owner.shape
    K = bodies.shape.shape[1]
    device = owner.device
    scene = torch.arange(B, device=device)[:, None]
    # markers: mostly on the figure, on the skin or inside
    on_figure = person[:, None] & draw.chance(0.85, B, count)
    limb = K - slots + draw.integers(slots, B, count)
    body = torch.where(on_figure, limb, draw.integers(K, B, count))
    for _ in range(3):  # absent bodies carry nothing
        other = torch.where(
            on_figure,
            K - slots + draw.integers(slots, B, count),
            draw.integers(K, B, count),
        )
        body = torch.where(bodies.shape[scene, body] == ABSENT, other, body)
    # someone is always there in some slot: fall back on the first present
    first = (bodies.shape != ABSENT).to(torch.uint8).argmax(1)[:, None]
    body = torch.where(bodies.shape[scene, body] == ABSENT, first, body)
    skin = draw.chance(0.5, B, 1, 1)
    deep = torch.where(skin, 1.0, draw.uniform(B, count, 1, high=0.9))
    local = draw.direction(B, count) * deep
    shape = bodies.shape[scene, body]
    along = draw.uniform(B, count, low=-1, high=1) * bodies.aspect[scene, body]
    shift = torch.where(shape == CAPSULE, along, 0.0)
    local = torch.stack([local[..., 0], local[..., 1] + shift, local[..., 2]], -1)
    flat = draw.uniform(B, count, 3, low=-1, high=1)
    local = torch.where((shape == SHEET)[..., None], flat, local)
    # joints: each once, in any order
    order = torch.where(owner >= 0, draw.uniform(B, J), 2.0).argsort(1)
    order = torch.cat([order, order.new_zeros(B, max(0, count - J))], 1)[:, :count]
    there = (owner >= 0).sum(1, keepdim=True)
    beyond = torch.arange(count, device=device) >= there
    only = person[:, None] & draw.chance(0.6, B, 1)
    use = only & ~beyond
    mine = owner.gather(1, order).clamp_min(0) + K - slots
    spot = joint.gather(1, order[..., None].expand(-1, -1, 3))
    # detectors do not find the same spot on everyone
    off = 0.02 * draw.normal(B, J, 3).gather(1, order[..., None].expand(-1, -1, 3))
    body = torch.where(use, mine, body)
    local = torch.where(use[..., None], spot + off, local)
    return body, local, only & beyond


def wander(draw: Draw, tall: Tensor, count: int, seconds: Tensor) -> Tensor:
    """Draw how found joints slide about the true ones, (B, P, T, 3), metres.

    What a detector, or skin, calls a knee depends on the pose: bones seem to change
    their length by some centimetres. In some scenes joints are exact.

    Parameters
    ----------
    draw
        Source of randomness.
    tall : Tensor (B,)
        Heights of the figures, metres.
    count
        Points, P.
    seconds : Tensor (B, T)
    """
    B = len(tall)
    size = tall[:, None] * draw.log_uniform(B, 1, low=0.002, high=0.025)
    size = size * draw.chance(0.6, B, 1)
    waves = random_waves(draw, (B, count, 3), seconds)
    return (size[..., None, None] * waves).transpose(-1, -2)
