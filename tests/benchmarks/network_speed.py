"""Time the network against the machine's own matrix products.

    python -m tests.benchmarks.network_speed [--presets small base]
        [--precision float32 bfloat16] [--device cpu] [--queries 256] [--windows 18]
        [--compile] [--repeat 5]

Random windows of 576 support points and some queries go through the network as
`predict_windows` sends them. Operations are those of matrix products and attention, as
`torch.utils.flop_counter` counts them; all else (features, rigid motions, norms) takes
time but counts nothing. ``layers`` is the share of the rate within the transformer's
layers alone. The rate of the machine is the best of several products of 2048 x 2048 in
the same precision, taken between the runs of the network, so that both saw the same
load. Processor time is used on the CPU (over the cores that torch uses), the clock
elsewhere.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from seurat_tracks.model import predict
from seurat_tracks.model.config import PRESETS
from seurat_tracks.model.network import Layer, SeuratNetwork
from seurat_tracks.model.speed import prepare
from seurat_tracks.windows import WindowPlan

FRAME = (640, 480)


class Roof(NamedTuple):
    """What the network reached: 1e9 operations, seconds, rates in 1e9 a second."""

    operations: float
    seconds: float
    layer_operations: float
    layer_seconds: float
    machine: float


def attention_operations(q: Any, k: Any, *rest: Any, **also: Any) -> int:
    """Operations of attention from and to such shapes (batch, head, points, width)."""
    batch, heads, n, width = q
    return 4 * batch * heads * n * k[2] * width


# the CPU's fused attention is not among what torch counts by itself
COUNTED = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_operations
}


def count(work: Callable[[], object]) -> float:
    """1e9 operations of matrix products and attention, done in this thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
            work()
    finally:
        torch.set_num_threads(threads)
    return counter.get_total_flops() / 1e9


def clock(device: str) -> float:
    """Seconds: of one core's work on the CPU, of the clock elsewhere."""
    if device == "cpu":
        return time.process_time() / torch.get_num_threads()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def own_clock(device: str) -> float:
    """Seconds of one core's work in this thread on the CPU, which does whole layers."""
    if device == "cpu":
        return time.thread_time()
    return clock(device)


def machine_rate(device: str, dtype: torch.dtype, size: int = 2048) -> float:
    """1e9 operations a second of one square matrix product, the best of some."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = 0.0
    times = 2 if device == "cpu" else 50
    for _ in range(4):
        begin = clock(device)
        for _ in range(times):
            a @ b
        spent = clock(device) - begin
        best = max(best, 2 * size**3 * times / spent / 1e9)
    return best


def random_windows(
    windows: int, support: int, queries: int
) -> tuple[WindowPlan, tuple[np.ndarray, ...]]:
    """Random points that wander, and the arguments of `predict_windows` after plan."""
    rng = np.random.default_rng(0)
    start = np.arange(windows)
    frames = start[:, None] + np.arange(8)
    plan = WindowPlan(start, np.ones(windows, int), frames)

    def points(*shape: int) -> np.ndarray:
        begin = rng.uniform(0, 1, (*shape[:-1], 1, 2)) * np.array(FRAME)
        return begin + rng.normal(0, 1.5, (*shape, 2)).cumsum(-2)

    xy = points(queries, windows + 7)
    support_xy = points(windows, support, 8).astype(np.float32)
    seen = np.ones(support_xy.shape[:-1], bool)
    return plan, (xy, np.ones(xy.shape[:2], bool), support_xy, seen)


def measure(
    preset: str,
    precision: str,
    *,
    device: str = "cpu",
    queries: int = 256,
    windows: int = 18,
    support: int = 576,
    compiled: bool = False,
    repeat: int = 5,
) -> Roof:
    """Run one size of network in one precision; the best of some runs."""
    torch.manual_seed(0)
    network = SeuratNetwork(PRESETS[preset]).eval().requires_grad_(False)
    dtype = getattr(torch, precision)
    plan, arrays = random_windows(windows, support, queries)

    def work() -> None:
        predict.predict_windows(network, plan, *arrays, FRAME)

    network = prepare(network, device, precision, False)
    operations = count(work)
    threads = torch.get_num_threads() if device == "cpu" else 1
    inside: list[float] = []
    began = threading.local()

    def begin(*_: Any) -> None:
        began.at = own_clock(device)

    def end(*_: Any) -> None:
        inside.append((own_clock(device) - began.at) / threads)

    if compiled:
        network = prepare(network, device, precision, True)
    layers = [m for m in network.modules() if isinstance(m, Layer)]
    seconds = layer_seconds = np.inf
    rate = 0.0
    work()
    for _ in range(repeat):
        rate = max(rate, machine_rate(device, dtype))
        start = clock(device)
        work()
        seconds = min(seconds, clock(device) - start)
    if compiled:  # a clock inside would be compiled too
        return Roof(operations, seconds, np.nan, np.nan, rate)
    for layer in layers:
        layer.register_forward_pre_hook(begin)
        layer.register_forward_hook(end)
    for _ in range(repeat):
        inside.clear()
        work()
        layer_seconds = min(layer_seconds, sum(inside))
    of_layers = operations - outside_layers(work)
    return Roof(operations, seconds, of_layers, layer_seconds, rate)


def outside_layers(work: Callable[[], object]) -> float:
    """1e9 operations of everything but the layers: they are left out for one run."""
    forward = Layer.forward
    try:
        Layer.forward = lambda self, x, keys, mask: x  # type: ignore[method-assign]
        return count(work)
    finally:
        Layer.forward = forward  # type: ignore[method-assign]


def main() -> None:
    """Measure and write a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--presets", nargs="+", default=["small", "base"])
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--windows", type=int, default=18)
    parser.add_argument("--support", type=int, default=576)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    out = sys.stdout
    out.write(
        f"{args.device}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{args.windows} windows, {args.support} support points, {args.queries} "
        "queries\n"
        "preset  precision  1e9 operations  seconds  1e9/s  machine's  share  layers\n"
    )
    for preset in args.presets:
        for precision in args.precision:
            roof = measure(
                preset,
                precision,
                device=args.device,
                queries=args.queries,
                windows=args.windows,
                support=args.support,
                compiled=args.compile,
                repeat=args.repeat,
            )
            rate = roof.operations / roof.seconds
            layers = roof.layer_operations / roof.layer_seconds
            out.write(
                f"{preset:6s}  {precision:9s}  {roof.operations:14.1f}  "
                f"{roof.seconds:7.3f}  {rate:5.0f}  {roof.machine:9.0f}  "
                f"{rate / roof.machine:5.2f}  {layers / roof.machine:6.2f}\n"
            )
            out.flush()


if __name__ == "__main__":
    main()
