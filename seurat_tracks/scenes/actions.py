"""What figures do: how their joints bend over time while they walk, wave or jump.

Bones are those of `seurat_tracks.scenes.skeleton`. Angles are radians about the axes of
the bone's rest: bend about x (forwards), away from the body about z, twist about y.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seurat_tracks.scenes.bones import BONES
from seurat_tracks.scenes.motion import Draw
from seurat_tracks.scenes.physics import GRAVITY

ACTIONS = ("stand", "walk", "run", "gesture", "bend", "jump", "sit", "dance", "balance")
"""What a figure does; four-legged ones stand, walk, run or gesture."""

WALK, GESTURE = ACTIONS.index("walk"), ACTIONS.index("gesture")
"""Indices into `ACTIONS`."""

ACTION_SHARE = (0.12, 0.22, 0.10, 0.15, 0.08, 0.09, 0.07, 0.09, 0.08)

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


def soft_clamp(angle: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Bring angles into [low, high], smoothly within about 5 degrees of the ends."""
    soft = ((high - low) / 8).clamp(1e-5, 0.09)
    angle = low + soft * torch.nn.functional.softplus((angle - low) / soft)
    return high - soft * torch.nn.functional.softplus((high - angle) / soft)


def draw_actions(draw: Draw, beast: Tensor) -> Tensor:
    """Draw actions (B,); those of four-legged figures (beast) are fewer."""
    share = torch.tensor(ACTION_SHARE, device=draw.device)
    action = torch.multinomial(share, len(beast), True, generator=draw.generator)
    return torch.where(beast & (action > GESTURE), WALK, action)


def random_waves(draw: Draw, shape: tuple[int, ...], seconds: Tensor) -> Tensor:
    """Smooth random signals (*shape, T) of about unit size; seconds (B, T)."""
    time = seconds.view(len(seconds), *(1,) * (len(shape) - 1), -1)
    total = torch.zeros(*shape, seconds.shape[1], device=seconds.device)
    for low, high in ((0.1, 0.8), (0.5, 2.5)):
        rate = 6.2832 * draw.log_uniform(*shape, 1, low=low, high=high)
        phase = draw.uniform(*shape, 1, high=6.28)
        total = total + draw.normal(*shape, 1) * (rate * time + phase).sin()
    return total / 1.4


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
    high = GRAVITY / 2 * since * (flight - since)
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
    angle = angle + gain[..., None] * random_waves(draw, (B, L, 3), seconds)

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
