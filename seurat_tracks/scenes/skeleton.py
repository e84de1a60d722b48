"""A jointed skeleton, two- or four-legged, and how it moves.

Bone lengths follow the body-segment proportions of Winter, *Biomechanics and Motor
Control of Human Movement* (after Drillis and Contini 1964), as shares of the height,
with a random spread. In a bone's own axes x is right, y down the limb, z forward; knees
and elbows are hinges, hips, shoulders and spine ball joints, all within human ranges.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seurat_tracks.scenes.motion import Draw

BONES = (
    "pelvis",
    "chest",
    "neck",
    "head",
    "left_arm",
    "right_arm",
    "left_forearm",
    "right_forearm",
    "left_hand",
    "right_hand",
    "left_thigh",
    "right_thigh",
    "left_shin",
    "right_shin",
    "left_foot",
    "right_foot",
    "tail",
)
"""Bones from the root outwards: a parent always comes before its children."""

PARENT = (-1, 0, 1, 2, 1, 1, 4, 5, 6, 7, 0, 0, 10, 11, 12, 13, 0)

ACTIONS = ("stand", "walk", "run", "gesture", "bend", "jump", "sit", "dance", "balance")
"""What a figure does; four-legged ones stand, walk, run or gesture."""

ACTION_SHARE = (0.12, 0.22, 0.10, 0.15, 0.08, 0.09, 0.07, 0.09, 0.08)

_UP = (0, 1, 2, 3)  # bones that point up, the others down
_LEFT = (4, 6, 8, 10, 12, 14)
_RIGHT = (5, 7, 9, 11, 13, 15)
_ROUND = (0, 1, 2, 3)  # ellipsoids; limbs are capsules

#  length, half width and half depth as shares of the height
_HUMAN = (
    (0.12, 0.090, 0.065),
    (0.17, 0.100, 0.070),
    (0.05, 0.030, 0.030),
    (0.13, 0.045, 0.055),
    *((0.186, 0.026, 0.026),) * 2,
    *((0.146, 0.021, 0.021),) * 2,
    *((0.09, 0.018, 0.018),) * 2,
    *((0.245, 0.042, 0.042),) * 2,
    *((0.246, 0.030, 0.030),) * 2,
    *((0.13, 0.022, 0.022),) * 2,
    (0.01, 0.01, 0.01),
)
#  the same for four legs, as shares of the height of the back
_BEAST = (
    (0.50, 0.20, 0.24),
    (0.50, 0.21, 0.27),
    (0.35, 0.10, 0.12),
    (0.30, 0.09, 0.10),
    *((0.36, 0.06, 0.06),) * 2,
    *((0.34, 0.045, 0.045),) * 2,
    *((0.10, 0.045, 0.045),) * 2,
    *((0.36, 0.08, 0.08),) * 2,
    *((0.34, 0.05, 0.05),) * 2,
    *((0.10, 0.045, 0.045),) * 2,
    (0.45, 0.03, 0.03),
)
#  degrees: bend (about x) from, to; away from the body from, to; twist from, to
_RANGE = (
    (-0, 0, -0, 0, -0, 0),  # the root has its own motion
    (-50, 20, -25, 25, -35, 35),
    (-35, 35, -25, 25, -45, 45),
    (-15, 15, -10, 10, -20, 20),
    *((-50, 170, -20, 150, -60, 60),) * 2,
    *((0, 145, 0, 0, -60, 60),) * 2,
    *((-60, 60, -20, 20, -5, 5),) * 2,
    *((-25, 115, -15, 50, -30, 30),) * 2,
    *((-140, 0, 0, 0, 0, 0),) * 2,
    *((45, 110, -10, 10, -5, 5),) * 2,
    (-60, 60, -60, 60, -10, 10),
)
#  degrees of free motion by action, of spine, neck and head, arms, legs
_LOOSE = (
    (3, 6, 8, 1.5),  # stand
    (3, 5, 4, 1.5),  # walk
    (4, 4, 5, 2),  # run
    (7, 12, 40, 2),  # gesture
    (6, 8, 15, 4),  # bend
    (6, 6, 15, 6),  # jump
    (6, 12, 22, 5),  # sit
    (14, 14, 50, 22),  # dance
    (9, 10, 25, 10),  # balance
)
_REGION = (0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 1)


@dataclass
class Pose:
    """Bones of a batch of figures over time.

    Attributes
    ----------
    start, end : Tensor (B, L, T, 3)
        World ends of each bone, metres.
    turn : Tensor (B, L, T, 3, 3)
        Bone axes to world.
    size : Tensor (B, L, 3)
        Length, half width and half depth, metres.
    action : int Tensor (B,)
        Index into `ACTIONS`; -1 for replayed motion.
    """

    start: Tensor
    end: Tensor
    turn: Tensor
    size: Tensor
    action: Tensor


def _axis_turn(angle: Tensor, axis: int) -> Tensor:
    """Rotation matrices by angle (...) about x, y or z (0, 1, 2)."""
    c, s = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    rows = (
        (one, zero, zero, zero, c, -s, zero, s, c),
        (c, zero, s, zero, one, zero, -s, zero, c),
        (c, -s, zero, s, c, zero, zero, zero, one),
    )[axis]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def _waves(draw: Draw, shape: tuple[int, ...], seconds: Tensor) -> Tensor:
    """Smooth random signals (*shape, T) of about unit size; seconds (B, T)."""
    time = seconds.view(len(seconds), *(1,) * (len(shape) - 1), -1)
    total = torch.zeros(*shape, seconds.shape[1], device=seconds.device)
    for low, high in ((0.1, 0.8), (0.5, 2.5)):
        rate = 6.2832 * draw.log_uniform(*shape, 1, low=low, high=high)
        phase = draw.uniform(*shape, 1, high=6.28)
        total = total + draw.normal(*shape, 1) * (rate * time + phase).sin()
    return total / 1.4


def _mirror(values: Tensor, spread: Tensor) -> Tensor:
    """Scale by random factors, the same left and right; both (B, L, ...)."""
    spread = spread.clone()
    spread[:, list(_RIGHT)] = spread[:, list(_LEFT)]
    return values * spread


def soft_clamp(angle: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Bring angles into [low, high], smoothly within about 5 degrees of the ends."""
    soft = ((high - low) / 8).clamp(1e-5, 0.09)
    angle = low + soft * torch.nn.functional.softplus((angle - low) / soft)
    return high - soft * torch.nn.functional.softplus((high - angle) / soft)


def draw_actions(draw: Draw, beast: Tensor) -> Tensor:
    """Draw actions (B,); those of four-legged figures (beast) are fewer."""
    share = torch.tensor(ACTION_SHARE, device=draw.device)
    action = torch.multinomial(share, len(beast), True, generator=draw.generator)
    return torch.where(beast & (action > 3), 1, action)


def joint_angles(
    draw: Draw, action: Tensor, beast: Tensor, tall: Tensor, seconds: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw how joints bend over time.

    Parameters
    ----------
    draw
        Source of randomness.
    action : int Tensor (B,)
    beast : bool Tensor (B,)
    tall : Tensor (B,)
        Heights, metres.
    seconds : Tensor (B, T)

    Returns
    -------
    angle : Tensor (B, L, 3, T)
        Bend about x, away from the body about z, twist about y; radians.
    speed : Tensor (B,)
        Forward speed that belongs to the gait, metres per second.
    lift : Tensor (B, T)
        Height of the lowest foot above the ground, metres.
    """
    device, B = draw.device, len(action)
    L, T = len(BONES), seconds.shape[1]
    degree = torch.pi / 180
    angle = torch.zeros(B, L, 3, T, device=device)

    def doing(*names: str) -> Tensor:
        wanted = [ACTIONS.index(n) for n in names]
        return torch.isin(action, torch.tensor(wanted, device=device))

    # rest: arms hang a little outwards and bent, knees nearly straight
    def rest(mean: float, spread: float) -> Tensor:
        return ((mean + spread * draw.normal(B, 1)) * degree).expand(B, T)

    for side in (0, 1):
        angle[:, 4 + side, 0] = rest(5, 8)
        angle[:, 4 + side, 1] = rest(10, 6)
        angle[:, 6 + side, 0] = rest(20, 12)
        angle[:, 10 + side, 1] = rest(4, 3)
        angle[:, 12 + side, 0] = rest(-6, 4)
        angle[:, 14 + side, 0] = rest(78, 4)
    raised = doing("balance", "dance")[:, None] | (
        doing("gesture")[:, None] & draw.chance(0.7, B, 1)
    )
    for side in (0, 1):
        up = raised & draw.chance(0.75, B, 1)
        bend = draw.uniform(B, 1, low=-20, high=110) * degree
        away = draw.uniform(B, 1, low=20, high=110) * degree
        elbow = draw.uniform(B, 1, low=5, high=110) * degree
        away = torch.where(bend > 50 * degree, 0.4 * away, away)
        angle[:, 4 + side, 0] = torch.where(up, bend, angle[:, 4 + side, 0])
        angle[:, 4 + side, 1] = torch.where(up, away, angle[:, 4 + side, 1])
        angle[:, 6 + side, 0] = torch.where(up, elbow, angle[:, 6 + side, 0])
    # one leg off the ground
    lifted = doing("balance")[:, None] & draw.chance(0.7, B, 1)
    bend = draw.uniform(B, 1, low=-15, high=80) * degree
    knee = -draw.uniform(B, 1, low=30, high=110) * degree
    angle[:, 11, 0] += torch.where(lifted, bend, 0.0)
    angle[:, 13, 0] += torch.where(lifted, knee, 0.0)
    seat = doing("sit")[:, None]
    for side in (0, 1):
        angle[:, 10 + side, 0] += torch.where(seat, rest(88, 6), 0.0)
        angle[:, 12 + side, 0] += torch.where(seat, rest(-78, 10), 0.0)
        angle[:, 6 + side, 0] += torch.where(seat, rest(55, 20), 0.0)

    # gait: thighs swing in turn, knees bend while the thigh comes forward, arms against
    runs = doing("run")[:, None]
    gait = (doing("walk", "run")[:, None]).float()
    pace = torch.where(
        runs,
        draw.uniform(B, 1, low=1.2, high=1.6),
        draw.uniform(B, 1, low=0.65, high=1.1),
    )
    pace = pace * (1.7 / tall[:, None]).sqrt().clamp(max=2.5)
    swing = torch.where(
        runs,
        draw.uniform(B, 1, low=28, high=48),
        draw.uniform(B, 1, low=12, high=30),
    )
    swing = swing * degree * gait
    cycle = 6.2832 * (pace * seconds + draw.uniform(B, 1))
    arms = swing * draw.uniform(B, 1, low=0.3, high=1.4)
    stiff = draw.uniform(B, 1, low=0.5, high=1.2)
    flex = torch.where(runs, 95.0, 58.0) * degree * gait * stiff
    carry = torch.where(runs, 65.0, 12.0) * degree * gait
    # two legs: opposite phases. Four: trot (diagonal), pace, or gallop
    style = draw.integers(3, B, 1)
    fore = torch.where(style == 0, torch.pi, torch.where(style == 1, 1.57, 0.5))
    hind = torch.where(style == 2, 0.6, torch.pi)
    hind = torch.where(beast[:, None], hind, torch.pi)
    for side in (0, 1):
        phase = cycle + side * hind
        angle[:, 10 + side, 0] += swing * phase.sin() + 0.12 * swing
        lag = (phase - 0.35).cos()
        angle[:, 12 + side, 0] -= flex * (0.5 + 0.5 * lag) ** 2
        angle[:, 14 + side, 0] += 0.25 * swing * (phase + 2.4).sin()
        front = torch.where(
            beast[:, None], phase + fore, cycle + torch.pi + side * torch.pi
        )
        reach = torch.where(beast[:, None], swing, arms)
        angle[:, 4 + side, 0] += reach * front.sin()
        fold = flex * (0.5 + 0.5 * (front - 0.35).cos()) ** 2
        bent = carry + 0.4 * arms * front.sin()
        angle[:, 6 + side, 0] += torch.where(beast[:, None], 0.8 * fold, bent)
    angle[:, 1, 2] += 0.25 * swing * cycle.sin()
    leg = 0.491 * tall
    # two steps a cycle, each as long as the feet are apart; longer with a flight
    stride = 4 * leg * swing[:, 0].sin() * torch.where(runs[:, 0], 1.3, 1.0)
    speed = stride * pace[:, 0]
    lift = 0.04 * tall[:, None] * (0.5 - 0.5 * (2 * cycle).cos())
    lift = torch.where(runs, lift, 0.0)

    # bending down and up; jumping: crouch, then a flight under gravity, again and again
    slow = draw.log_uniform(B, 1, low=0.2, high=0.8)
    dip = 0.5 - 0.5 * (6.2832 * (slow * seconds + draw.uniform(B, 1))).cos()
    dip = dip * doing("bend")[:, None] * draw.uniform(B, 1, low=0.4, high=1.0)
    flight = draw.uniform(B, 1, low=0.2, high=0.55)
    period = flight + draw.uniform(B, 1, low=0.25, high=0.9)
    since = torch.remainder(seconds + period * draw.uniform(B, 1), period)
    high = 4.905 * since * (flight - since)  # g / 2
    jumps = doing("jump")[:, None]
    lift = torch.where(jumps & (since < flight), high, lift)
    ground = ((since - flight) / (period - flight)).clamp(0, 1)
    crouch = (ground * torch.pi).sin() * jumps * draw.uniform(B, 1, low=0.3, high=0.9)
    star = jumps & draw.chance(0.5, B, 1)  # jumping jacks: arms and legs go out
    out = torch.where(star, (since / period * torch.pi).sin(), 0.0)
    low = dip + crouch
    stoop = draw.uniform(B, 1, low=0.0, high=1.0)
    for side in (0, 1):
        angle[:, 10 + side, 0] += 95 * degree * low
        angle[:, 12 + side, 0] -= 120 * degree * low * (1 - 0.6 * stoop)
        angle[:, 14 + side, 0] += 25 * degree * low
        angle[:, 4 + side, 0] += 60 * degree * low
        angle[:, 4 + side, 1] += 130 * degree * out
        angle[:, 10 + side, 1] += 25 * degree * out
    angle[:, 1, 0] -= 35 * degree * low * (0.4 + stoop)

    # free motion on top
    loose = torch.tensor(_LOOSE, device=device)[action]  # B 4
    loose = loose[:, list(_REGION)] * degree
    lively = draw.log_uniform(B, 1, low=0.3, high=1.6)
    each = draw.log_uniform(B, L, 3, low=0.25, high=1.2)
    gain = (loose * lively)[..., None] * each
    angle = angle + gain[..., None] * _waves(draw, (B, L, 3), seconds)

    # four legs hang at right angles to the spine, which lies level
    four = beast[:, None, None]
    right = torch.zeros(B, L, 3, T, device=device)
    right[:, [4, 5, 10, 11], 0] = torch.pi / 2
    right[:, 2, 0] = 0.7  # the neck rises
    right[:, 3, 0] = -0.5
    right[:, 16, 0] = 0.6
    limits = torch.tensor(_RANGE, device=device) * degree
    angle = soft_clamp(
        angle, limits[:, 0::2, None].to(angle), limits[:, 1::2, None].to(angle)
    )
    return angle + right * four[..., None], speed, lift


def make_pose(
    draw: Draw,
    tall: Tensor,
    beast: Tensor,
    place: Tensor,
    floor: Tensor,
    seconds: Tensor,
) -> Pose:
    """Draw figures that do something on the ground.

    Parameters
    ----------
    draw
        Source of randomness.
    tall : Tensor (B,)
        Heights, metres.
    beast : bool Tensor (B,)
        Four legs instead of two.
    place : Tensor (B, 3)
        Where the figure is in the middle of the scene's time; its y is not used.
    floor : Tensor (B,)
        World y of the ground (y points down).
    seconds : Tensor (B, T)

    Returns
    -------
    Pose
        Whose lowest foot is on the ground but where it jumps or runs.
    """
    device = draw.device
    B, T = seconds.shape
    L = len(BONES)
    action = draw_actions(draw, beast)
    angle, speed, lift = joint_angles(draw, action, beast, tall, seconds)

    share = torch.where(
        beast[:, None, None],
        torch.tensor(_BEAST, device=device),
        torch.tensor(_HUMAN, device=device),
    )
    back = torch.where(beast, 0.75, 1.0) * tall  # a beast's height has its head on top
    share = _mirror(share, (0.07 * draw.normal(B, L, 1)).exp())
    thick = torch.ones(B, 1, 3, device=device)
    thick[..., 1:] = (0.15 * draw.normal(B, 1, 1)).exp()
    size = share * thick * back[:, None, None]
    length = size[..., 0]

    # the root: heading, lean, and a path that the gait drives
    goes = torch.isin(action, torch.tensor([1, 2], device=device))
    turning = draw.normal(B, 1) * draw.chance(0.5, B, 1)
    turning = turning * torch.where(goes, 0.5, 0.15)[:, None]  # radians per second
    loose = _waves(draw, (B, 3), seconds) * torch.pi / 180
    steady = torch.tensor([2.5, 3.0, 2.0], device=device)
    rate = torch.isin(action, torch.tensor([7, 8], device=device))
    loose = loose * steady[:, None] * torch.where(rate, 3.0, 1.0)[:, None, None]
    start = draw.uniform(B, 1, high=6.2832)
    heading = start + turning * seconds + loose[:, 1]
    lean = -torch.where(action == 2, 0.15, 0.03)[:, None] + loose[:, 0]
    lean = lean - torch.where(beast, torch.pi / 2, 0.0)[:, None]
    root = (
        _axis_turn(heading, 1) @ _axis_turn(lean, 0) @ _axis_turn(loose[:, 2], 2)
    )  # B T 3 3

    side = torch.zeros(L, device=device)
    side[list(_LEFT)], side[list(_RIGHT)] = 1.0, -1.0
    bend = _axis_turn(angle[:, :, 0], 0)
    away = _axis_turn(angle[:, :, 1] * torch.where(side == 0, 1.0, side)[:, None], 2)
    twist = _axis_turn(angle[:, :, 2] * torch.where(side == 0, 1.0, side)[:, None], 1)
    local = bend @ away @ twist  # B L T 3 3

    sign = torch.ones(L, device=device)
    sign[list(_UP)] = -1.0
    spread = torch.zeros(B, L, device=device)  # of shoulders and hips from the middle
    spread[:, 4:6] = (size[:, 1, 1] * 1.15)[:, None]
    spread[:, 10:12] = (size[:, 0, 1] * 0.62)[:, None]
    turns, starts, ends = [root], [], []
    starts.append(torch.zeros(B, T, 3, device=device))
    ends.append(-length[:, 0, None, None] * root[..., 1])
    for i in range(1, L):
        p = PARENT[i]
        turn = turns[p] @ local[:, i]
        hips = i in (10, 11, 16)
        at = starts[p] if hips else ends[p]
        if i in (4, 5):  # shoulders sit below the top of the chest
            at = starts[p] + 0.9 * (ends[p] - starts[p])
        at = at - (side[i] * spread[:, i])[:, None, None] * turns[p][..., 0]
        turns.append(turn)
        starts.append(at)
        ends.append(at + (sign[i] * length[:, i])[:, None, None] * turn[..., 1])
    first, last = torch.stack(starts, 1), torch.stack(ends, 1)

    # on the ground: the lowest end of a bone touches it, unless in flight
    sole = size[..., 2, None].where(size[..., 2, None] > 0, 0.0)
    limbs = list(range(4, 16))
    lowest = (last[:, limbs, :, 1] + sole[:, limbs]).amax(1)  # B T
    height = floor[:, None] - lowest - lift
    # forwards along the heading; standing figures keep their feet where they are
    direction = torch.stack([heading.sin(), heading.cos()], -1)
    step = torch.diff(seconds, dim=1, prepend=seconds[:, :1])
    path = (speed[:, None, None] * step[..., None] * direction).cumsum(1)
    feet = last[:, [12, 13]][..., [0, 2]]  # ankles
    weight = draw.uniform(B, 1, 1) * torch.ones(B, 1, 1, device=device)
    weight = torch.where((action == 8)[:, None, None], 1.0, weight)
    stance = weight * feet[:, 0] + (1 - weight) * feet[:, 1]
    path = torch.where(goes[:, None, None], path, stance[:, :1] - stance)
    path = path - path[:, T // 2, None] + place[:, None, [0, 2]]
    shift = torch.stack([path[..., 0], height, path[..., 1]], -1)[:, None]
    return Pose(first + shift, last + shift, torch.stack(turns, 1), size, action)
