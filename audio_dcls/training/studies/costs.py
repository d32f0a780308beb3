"""Costs of the models of a study: parameters, multiplications, and speed on this machine.

Axes: B clips, T samples, C classes, M mels, F frames.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from audio_dcls.errors import ArgumentError
from audio_dcls.evaluation.study_table import Speed
from audio_dcls.models import AudioTagger, build_tagger, prepare_for_inference
from audio_dcls.runs.config import TrainConfig
from audio_dcls.speed.flops import count_gflops
from audio_dcls.speed.machine import describe_machine
from audio_dcls.speed.steps import forward_pass, train_step
from audio_dcls.speed.timing import Call, time_interleaved
from audio_dcls.training.learning.optim import build_optimizer
from audio_dcls.training.studies.study_config import StudyPlan

WARMUP_ROUNDS = 2
BENCH_RATE = 1e-6
"""Learning rate of timed steps; it is small, so that the weights do not diverge on random clips."""


@dataclass(frozen=True)
class SpeedSettings:
    """How to measure speed; each round measures every case once, and the device "auto" is a GPU if there is one."""

    batch: int = 8
    num_rounds: int = 5
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("batch", "num_rounds"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        if self.device not in ("auto", "cpu", "cuda") or (self.device == "cuda" and not torch.cuda.is_available()):
            raise ArgumentError(
                f"`device` (={self.device!r}) must be 'auto', 'cpu', or 'cuda' if torch finds a CUDA device"
            )

    @property
    def torch_device(self) -> torch.device:
        """The device, with "auto" resolved."""
        found = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.device(found if self.device == "auto" else self.device)


def count_costs(config: TrainConfig, num_classes: int) -> tuple[int, int]:
    """Trainable parameters, and multiplications of one clip's forward pass.

    The multiplications are those after the spectrogram, in the inference form, with DCLS kernels counted as dense.
    """
    model = _random_tagger(config, num_classes)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    shape = (1, 1, config.frontend.num_mels, config.frontend.num_frames)
    gflops, _ = count_gflops(prepare_for_inference(model).backbone, shape)
    return num_parameters, round(1e9 * gflops / 2)


def measure_speed(
    plan: StudyPlan, num_classes: int, settings: SpeedSettings, on_status: Callable[[str], object] = lambda text: None
) -> tuple[dict[str, Speed], dict[str, Any]]:
    """Clips per second of every case in tagging and training, from waveforms to logits; and the machine.

    Weights are random, which does not change the speed. Tagging uses the inference form and float32, like `Tagger`;
    training is forward pass, backward pass and optimiser step in the study's precision. `on_status` is called with a
    short text about the current work.
    """
    device = settings.torch_device
    speeds: dict[str, dict[str, float]] = {name: {} for name in plan.cases}
    for kind, make in (("inference", _make_inference), ("train", _make_train_step)):
        calls: dict[str, Call] = {}
        for name, case in plan.cases.items():
            on_status(f"{kind}: building {name}")
            calls[name] = make(case.config, num_classes, settings.batch, device)
        times_ms = time_interleaved(
            calls,
            settings.num_rounds,
            device,
            num_warmups=WARMUP_ROUNDS,
            on_call=lambda name, index, kind=kind: on_status(
                f"{kind}: {name}, round {index + 1} of {settings.num_rounds}"
            ),
        )
        for name, values in times_ms.items():
            speeds[name][kind] = 1000 * settings.batch / statistics.median(values)
        del calls
    machine = describe_machine(device) | {
        "device": device.type,
        "batch": settings.batch,
        "num_rounds": settings.num_rounds,
        "train_precision": plan.shared.loop.precision,
        "inference_precision": "fp32",
    }
    return {name: Speed(**found) for name, found in speeds.items()}, machine


def speed_note(machine: dict[str, Any]) -> str:
    """One sentence about how and where speed was measured.

    >>> speed_note({"processor": "a CPU", "threads": 2, "batch": 8, "num_rounds": 5, "train_precision": "fp32"})
    'Speed: on a CPU, 2 threads; waveforms in batches of 8, in turns, medians of 5 rounds; training in fp32, tagging in fp32 with frozen kernels.'
    """  # noqa: E501
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    where = machine.get("accelerator") or f"{machine['processor']}, {threads}"
    return (
        f"Speed: on {where}; waveforms in batches of {machine['batch']}, in turns, medians of {machine['num_rounds']} "
        f"rounds; training in {machine['train_precision']}, tagging in fp32 with frozen kernels."
    )


def _random_tagger(config: TrainConfig, num_classes: int) -> AudioTagger:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_tagger(config.model, config.frontend, num_classes)


def _waveforms(config: TrainConfig, batch: int, device: torch.device) -> torch.Tensor:
    """(B, T)."""
    generator = torch.Generator().manual_seed(batch)
    return (0.1 * torch.randn(batch, config.frontend.clip_samples, generator=generator)).to(device)


def _make_inference(config: TrainConfig, num_classes: int, batch: int, device: torch.device) -> Call:
    model = prepare_for_inference(_random_tagger(config, num_classes)).to(device)
    return forward_pass(model, _waveforms(config, batch, device))


def _make_train_step(config: TrainConfig, num_classes: int, batch: int, device: torch.device) -> Call:
    model = _random_tagger(config, num_classes).to(device).train()
    optimizer = build_optimizer(model, config.optimizer.model_copy(update={"peak_rate": BENCH_RATE}))
    targets = torch.zeros(batch, num_classes, device=device)
    return train_step(model, optimizer, _waveforms(config, batch, device), targets, config.loop.precision)
