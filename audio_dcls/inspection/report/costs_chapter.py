"""The chapter on time and memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from audio_dcls.inspection.costs import draw_construction, draw_parts, measure_construction, measure_parts
from audio_dcls.inspection.report.item import ReportItem
from audio_dcls.inspection.report.subject import Subject

_MOST_CLIPS = 4


def time(subject: Subject) -> Iterator[ReportItem]:
    """Time and memory of each part on this machine."""
    spectrograms = subject.spectrograms()
    if spectrograms is None:
        silence = torch.zeros(_MOST_CLIPS, subject.frontend.clip_samples)
        spectrograms = subject.model.spectrogram(silence).detach()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = spectrograms[:_MOST_CLIPS].clone().to(device)
    name = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name()
    facts = f"{subject.facts}; batch of {len(batch)}, {name}, shortest of several rounds"
    backbone = subject.model.backbone.to(device)
    try:
        parts = measure_parts(backbone, batch)
        layers = measure_construction(backbone, batch)
    finally:
        backbone.to("cpu")
    yield ReportItem("time", "Each part runs alone, on its input inside the model.", draw_parts(parts, facts), parts)
    if layers:
        caption = (
            "Time to build each layer's kernel, next to the convolution with it, forward and backward. These times are "
            "upper limits: in a training step, layers that share positions share a part of this work, and it does not "
            "grow with the batch. Other work on the machine makes short calls look longer."
        )
        yield ReportItem("construction", caption, draw_construction(layers, facts), layers)
