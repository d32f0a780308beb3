"""The table of export formats and the choices of the command line agree."""

from __future__ import annotations

import typing

from audio_dcls.choices import ExportFormat
from audio_dcls.inference.export.formats import FORMATS


def test_every_choice_has_an_entry() -> None:
    assert tuple(FORMATS) == typing.get_args(ExportFormat)


def test_every_suffix_belongs_to_one_format() -> None:
    assert len({entry.suffix for entry in FORMATS.values()}) == len(FORMATS)
