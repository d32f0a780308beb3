"""How much faster than torch's own the depthwise weight gradient is, on the maps of the paper's ConvNeXt-T.

Axes: N batch, C channels, H W rows and columns.

Claim: at 23 x 23, N = 8, float32, two CPU cores, torch's own takes at least 20 / 20 / 9 / 20 times as long as ours on
the four stages. Prints one JSON object; run it on an idle machine:

    python benchmarks/depthwise_weight_grad.py --threads 2 > benchmarks/results/depthwise_weight_grad.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch

from audio_dcls.dcls.depthwise_compiled import compiled_is_available
from audio_dcls.dcls.depthwise_dispatch import choose_method, num_outside_taps, weight_gradient

STAGES = ((96, 64, 62), (192, 32, 31), (384, 16, 15), (768, 8, 7))
TARGETS = {23: (20.0, 20.0, 9.0, 20.0)}


def time_interleaved(
    functions: Mapping[str, Callable[[], object]], num_rounds: int, device: str
) -> dict[str, list[float]]:
    """Milliseconds of each call; every round calls each function once, after one round that is not counted."""
    times_ms: dict[str, list[float]] = {name: [] for name in functions}
    for round_index in range(num_rounds + 1):
        for name, function in functions.items():
            start_s = time.perf_counter()
            function()
            if device == "cuda":
                torch.cuda.synchronize()
            if round_index:
                times_ms[name].append(1000 * (time.perf_counter() - start_s))
    return times_ms


def measure_stage(shape: tuple[int, int, int, int], taps: int, args: argparse.Namespace) -> dict[str, object]:
    """Torch's own against ours on one map; both get channels_last maps, as in the model."""
    generator = torch.Generator().manual_seed(0)
    dtype = getattr(torch, args.dtype)
    x, grad = (
        torch.randn(shape, generator=generator).to(args.device, dtype).contiguous(memory_format=torch.channels_last)
        for _ in range(2)
    )
    kernel_size, padding = (taps, taps), (taps // 2, taps // 2)
    weight = torch.empty((shape[1], 1, taps, taps), dtype=dtype, device=args.device)

    def torchs_own() -> torch.Tensor:
        return torch.ops.aten.convolution_backward(
            grad, x, weight, None, [1, 1], list(padding), [1, 1], False, [0, 0], shape[1], [False, True, False]
        )[1]

    functions: dict[str, Callable[[], torch.Tensor]] = {
        "torch": torchs_own,
        "ours": lambda: weight_gradient(x, grad, kernel_size, padding),
    }
    difference = (torchs_own().double() - functions["ours"]().double()).abs().max()
    scale = torchs_own().double().abs().max()
    times_ms = time_interleaved(functions, args.rounds, args.device)
    medians_ms = {name: statistics.median(values) for name, values in times_ms.items()}
    cropped = tuple(taps - 2 * num_outside_taps(shape[2 + d], taps, taps // 2) for d in range(2))
    return {
        "shape": list(shape),
        "kernel_size": taps,
        "method": choose_method(x, (cropped[0], cropped[1])),
        "relative_difference": float(difference / scale),
        "median_ms": medians_ms,
        "min_ms": {name: min(values) for name, values in times_ms.items()},
        "max_ms": {name: max(values) for name, values in times_ms.items()},
        "torch_over_ours": medians_ms["torch"] / medians_ms["ours"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds, at least 7 for a figure to publish")
    parser.add_argument("--batch", type=int, default=8, help="clips")
    parser.add_argument("--kernel-sizes", type=int, nargs="+", default=[23], help="taps, odd")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for taps in args.kernel_sizes:
        for index, (channels, height, width) in enumerate(STAGES):
            row = measure_stage((args.batch, channels, height, width), taps, args)
            row["target"] = TARGETS[taps][index] if taps in TARGETS else None
            rows.append(row)
    report = {
        "benchmark": "depthwise_weight_grad",
        "arguments": vars(args),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "llvmlite": compiled_is_available(),
        "rows": rows,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
