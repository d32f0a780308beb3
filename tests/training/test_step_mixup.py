"""Mixup of waveforms and of spectrograms, with a model that is linear in the waveform and one that is not."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from audio_dcls.data.augment.mixup import MixupConfig, draw_mixup
from audio_dcls.data.loading.sampler import StepBatchSampler
from audio_dcls.data.loading.samples import Batch
from audio_dcls.training.step import StepRunner

T, C, B = 6, 3, 4


class Toy(nn.Module):
    """A frontend of powers, as a tagger's is, and a linear classifier."""

    def __init__(self, power: int) -> None:
        super().__init__()
        self.power = power
        self.linear = nn.Linear(T, C)
        self.heard: list[Tensor] = []

    def forward(self, waveforms: Tensor, on_power: Any, on_mel: Any) -> Tensor:
        mel = on_mel(waveforms**self.power)
        self.heard.append(mel)
        return self.linear(mel)


def loss_of(mixup_on: Literal["spectrogram", "waveform"], power: int) -> tuple[float, Tensor]:
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1)
    toy = Toy(power)
    model, optimizer = fabric.setup(toy, torch.optim.SGD(toy.parameters(), lr=0.1))
    sampler = StepBatchSampler(B, batch_size=B, micro_batch_size=B, seed=0, first_step=0, num_steps=1)
    mixup = MixupConfig(mixup_on=mixup_on, mixup_group_clips=B, label_smoothing=0)
    runner = StepRunner(fabric, model, optimizer, sampler=sampler, mixup=mixup, clip_gradient_norm=None, seed=3)
    result = runner.run(5, iter([batch()]))
    return result.loss, toy.heard[0]


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        waveforms=torch.randn(B, T, generator=generator),
        targets=torch.eye(C)[torch.tensor([0, 1, 2, 0])],
        indices=torch.arange(B),
        slots=torch.arange(B),
        draws={},
        failures=(),
    )


@pytest.mark.parametrize("power", [1, 2])
def test_each_mixes_what_it_says_by_the_same_weight_and_partners(power: int) -> None:
    lam, partners = draw_mixup(B, alpha=0.8, seed=3, step=5, group_clips=B)
    waveforms = batch().waveforms
    mixed = lam * waveforms + (1 - lam) * waveforms[partners]
    _, heard = loss_of("waveform", power)
    torch.testing.assert_close(heard, mixed**power)
    _, heard = loss_of("spectrogram", power)
    torch.testing.assert_close(heard, lam * waveforms**power + (1 - lam) * (waveforms**power)[partners])


def test_on_a_linear_model_both_are_the_same_and_on_another_they_are_not() -> None:
    assert loss_of("waveform", 1)[0] == pytest.approx(loss_of("spectrogram", 1)[0], rel=1e-6)
    assert loss_of("waveform", 2)[0] != pytest.approx(loss_of("spectrogram", 2)[0], rel=1e-3)
