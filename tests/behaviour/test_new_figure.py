"""A figure is one entry: a chapter in `CHAPTERS`, or one more item that a chapter yields."""

from __future__ import annotations

import csv
import inspect as python_inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from audio_dcls.frontend import FrontendConfig
from audio_dcls.inspection.print_style import head, new_figure
from audio_dcls.inspection.report.chapters import CHAPTERS
from audio_dcls.inspection.report.item import Chapter, ReportItem
from audio_dcls.inspection.report.page import write_report
from audio_dcls.inspection.report.subject import Subject
from audio_dcls.labels import LabelSet
from audio_dcls.models import ModelConfig, build_tagger
from audio_dcls_cli.commands.inspect import inspect


def weights(subject: Subject) -> Iterator[ReportItem]:
    """A histogram of the classifier's weights."""
    values = subject.model.backbone.get_parameter("head.fc.weight").detach().numpy().ravel()
    figure = new_figure()
    counts, _, _ = figure.subplots().hist(values, bins=5)
    head(figure, "Weights of the classifier", subject.facts)
    yield ReportItem("weights", "Weights < of the classifier.", figure, [{"count": count} for count in counts])


def test_a_chapter_is_written_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHAPTERS, "classifier-weights", Chapter(weights))
    frontend = FrontendConfig()
    config = ModelConfig(name="convnext_atto", overrides={"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]})
    model = build_tagger(config, frontend, num_classes=2).eval()
    subject = Subject(model, frontend, "a model", LabelSet(("/a", "/b"), ("A", "B")))
    files = write_report(subject, tmp_path, ["classifier-weights"], dpi=50)
    assert [file.name for file in files] == ["weights.png", "weights.pdf", "weights.csv", "report.html"]
    page = files[-1].read_text()
    assert "<h2>Classifier weights</h2>" in page
    assert "<figcaption>Weights &lt; of the classifier.</figcaption>" in page
    with (tmp_path / "weights.csv").open() as file:
        assert sum(float(row["count"]) for row in csv.DictReader(file)) == 2 * 16


def test_the_help_of_the_command_names_every_chapter() -> None:
    text = str(python_inspect.signature(inspect).parameters["names"].annotation)
    assert all(name in text for name in CHAPTERS)
