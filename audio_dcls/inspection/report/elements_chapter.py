"""The chapters on what DCLS layers learned: positions of the elements, their movement, and the kernels they build."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.errors import NothingToShowError
from audio_dcls.inspection.element_motion import brownian_test, draw_brownian, draw_speeds, speeds
from audio_dcls.inspection.element_sets import history_sets, set_title
from audio_dcls.inspection.kernels import (
    dense_kernels,
    draw_energy,
    draw_kernels,
    element_rows,
    largest_channels,
    radial_energy,
)
from audio_dcls.inspection.positions import (
    QUANTILES,
    draw_position_history,
    draw_positions,
    draw_spreads,
    position_table,
    spread_table,
)
from audio_dcls.inspection.report.item import ReportItem
from audio_dcls.inspection.report.subject import Subject

_LEAST_RECORDS = 3


def positions(subject: Subject) -> Iterator[ReportItem]:
    """Positions of the elements, their history, and their spreads."""
    sets, past = subject.sets, history_sets(subject.history)
    starts = {name: records[0] for name, records in past.items()} if past else None
    yield ReportItem(
        "positions",
        "Learned positions along frequency and time, and their joint density. The axes show nearly all elements. "
        "Dotted lines are the kernel's border, where the axes reach it.",
        draw_positions(sets, subject.facts, starts),
        position_table(sets),
    )
    if len(subject.history.steps) > 1:
        rows = [
            {"set": subject.titles.get(name, name), "epoch": float(epoch), "axis": axis_name}
            | {f"q{round(100 * q):02d}": float(np.quantile(records[place, axis], q)) for q in QUANTILES}
            for name, records in past.items()
            for place, epoch in enumerate(subject.epochs)
            for axis, axis_name in enumerate(("frequency", "time"))
        ]
        figure = draw_position_history(past, subject.epochs, subject.titles, subject.facts)
        yield ReportItem("position_history", "Quantiles of the positions after each epoch.", figure, rows)
    if all(found.spreads is not None for found in sets):
        yield ReportItem(
            "spreads", "Effective spreads along both axes.", draw_spreads(sets, subject.facts), spread_table(sets)
        )


def speed(subject: Subject) -> Iterator[ReportItem]:
    """Speed of the positions, and a test whether their movement is random."""
    titles, past = subject.titles, history_sets(subject.history)
    if len(subject.history.steps) < _LEAST_RECORDS:
        raise NothingToShowError(
            f"the run has {len(subject.history.steps)} records of its positions, and speeds need {_LEAST_RECORDS}; a "
            "run keeps one at the start and one after every epoch, so train again for two epochs or more"
        )
    middles = (subject.epochs[1:] + subject.epochs[:-1]) / 2
    rows = [
        {"set": titles.get(name, name), "epoch": float(epoch), "taps_per_epoch": float(value)}
        for name, records in past.items()
        for epoch, value in zip(middles, speeds(records, subject.epochs), strict=True)
    ]
    figure = draw_speeds(past, subject.epochs, titles, subject.facts, subject.rates)
    yield ReportItem("speed", "Mean speed of the positions, and the learning rate.", figure, rows)
    tests = {name: brownian_test(records) for name, records in past.items()}
    table = [{"set": titles.get(name, name), **found.__dict__} for name, found in tests.items()]
    caption = (
        "Mean squared displacement by lag, and that of a Brownian motion with the same steps. Ratio: squared "
        "displacement from start to end, over that of the Brownian motion; z: distance of the ratio from 1 in standard "
        "errors."
    )
    yield ReportItem("brownian", caption, draw_brownian(past, titles, subject.facts), table)


def kernels(subject: Subject) -> Iterator[ReportItem]:
    """The kernels that the elements build."""
    layers = {n: la for n, la in dcls_layers(subject.model).items() if la.is_depthwise and len(la.kernel_size) == 2}
    if not layers:
        raise NothingToShowError("the model has no depthwise DCLS layer, so there are no learned kernels to draw")
    firsts: dict[str, Any] = {}
    for index, (name, layer) in enumerate(layers.items()):
        firsts.setdefault(set_title(name, index), layer)
    for title, layer in firsts.items():
        caption = (
            f"Kernels of the first layer of {title}, those with the largest norms, each in its own scale: orange is "
            "positive, purple negative. Dots are the centres of the elements, ellipses one spread around them."
        )
        figure = draw_kernels(layer, f"the first layer of {title}", subject.facts)
        name = f"kernels_{title.replace(' ', '_').replace(',', '')}"
        yield ReportItem(name, caption, figure, element_rows(layer, largest_channels(layer)))
    rows = []
    for title, layer in firsts.items():
        distances, shares = radial_energy(dense_kernels(layer))
        rows += [{"set": title, "distance": int(d), "share": float(s)} for d, s in zip(distances, shares, strict=True)]
    caption = "Energy of the kernels by distance from the centre, and their mean magnitude response."
    yield ReportItem("kernel_energy", caption, draw_energy(firsts, subject.facts), rows)
