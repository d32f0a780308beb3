"""The chapter on time and memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from audio_dcls.inspection.costs import draw_construction, draw_parts, measure_construction, measure_parts
from audio_dcls.inspection.report.item import ReportItem
from audio_dcls.inspection.report.subject import Subject

_MOST_CLIPS = 4


def time(subject: Subject) -> Iterator[ReportItem]:
    """What each part costs here."""
    spectrograms = subject.spectrograms()
    if spectrograms is None:
        silence = torch.zeros(_MOST_CLIPS, subject.frontend.clip_samples)
        spectrograms = subject.model.spectrogram(silence).detach()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    given = spectrograms[:_MOST_CLIPS].clone().to(device)
    name = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name()
    facts = f"{subject.facts}; batch of {len(given)}, {name}, least of several rounds"
    backbone = subject.model.backbone.to(device)
    try:
        parts = measure_parts(backbone, given)
        layers = measure_construction(backbone, given)
    finally:
        backbone.to("cpu")
    yield ReportItem("time", "Each part alone, on what it is given inside the model.", draw_parts(parts, facts), parts)
    if layers:
        caption = (
            "Building each layer's kernel, forward and backward, beside the convolution with it. Inside a training "
            "step layers that share positions share part of the building, and what it costs does not grow with the "
            "batch: this is the most it is. Other work on the machine makes short calls look longer than they are."
        )
        yield ReportItem("construction", caption, draw_construction(layers, facts), layers)
