"""Files of events, read back by pandas and mir_eval."""

from __future__ import annotations

import json
from pathlib import Path

import mir_eval
import numpy as np
import pandas as pd
import pytest

from audio_dcls.errors import ArgumentError
from audio_dcls.inference.event_files import event_form, write_events
from audio_dcls.inference.events import Event

DOG = Event("/m/0bt9lr", "Dog", 0.5, 2.0, 0.9)
SPEECH = Event("/m/05zppz", "Male speech, man speaking", 1.23456, 61.0, 0.75)
SOUNDS = [("a.wav", (DOG, SPEECH)), ("folder, with comma/b.wav", (DOG,)), ("silent.wav", ())]


def test_csv_is_read_by_pandas(tmp_path: Path) -> None:
    assert write_events(tmp_path / "new" / "a.csv", SOUNDS) == 3
    frame = pd.read_csv(tmp_path / "new" / "a.csv")
    assert list(frame.columns) == ["path", "onset_s", "offset_s", "id", "name", "score"]
    assert frame.path.tolist() == ["a.wav", "a.wav", "folder, with comma/b.wav"]
    assert frame.name.tolist() == ["Dog", "Male speech, man speaking", "Dog"]
    assert frame.onset_s.tolist() == [0.5, 1.235, 0.5] and frame.score.tolist() == [0.9, 0.75, 0.9]


def test_json_lines_hold_what_an_event_says_of_itself(tmp_path: Path) -> None:
    write_events(tmp_path / "a.jsonl", SOUNDS)
    objects = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert objects[0] == {"path": "a.wav", **DOG.to_json_dict()}
    assert pd.read_json(tmp_path / "a.jsonl", lines=True).offset_s.tolist() == [2.0, 61.0, 2.0]


def test_a_label_track_is_read_by_mir_eval(tmp_path: Path) -> None:
    odd = Event("x", "a\tname\nwith breaks", 3.0, 4.0, 0.5)
    write_events(tmp_path / "a.txt", [("a.wav", (DOG, SPEECH, odd)), ("silent.wav", ())])
    intervals, names = mir_eval.io.load_labeled_intervals(str(tmp_path / "a.txt"), delimiter="\t")
    np.testing.assert_allclose(intervals, [[0.5, 2.0], [1.23456, 61.0], [3.0, 4.0]], atol=1e-6)
    assert names == ["Dog", "Male speech, man speaking", "a name with breaks"]


def test_dcase_has_its_four_columns(tmp_path: Path) -> None:
    write_events(tmp_path / "a.tsv", SOUNDS)
    frame = pd.read_csv(tmp_path / "a.tsv", sep="\t")
    assert list(frame.columns) == ["filename", "onset", "offset", "event_label"]
    assert frame.values.tolist()[1] == ["a.wav", 1.235, 61.0, "Male speech, man speaking"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".txt", ".tsv"])
def test_no_event_is_a_file_without_rows(tmp_path: Path, suffix: str) -> None:
    assert write_events(tmp_path / f"a{suffix}", [("silent.wav", ())]) == 0
    assert len((tmp_path / f"a{suffix}").read_text().splitlines()) == (suffix in (".csv", ".tsv"))


def test_a_label_track_belongs_to_one_sound(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="one sound"):
        write_events(tmp_path / "a.txt", SOUNDS)
    assert not (tmp_path / "a.txt").exists()


def test_forms_that_are_not_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"must end in one of \.csv, \.jsonl, \.txt, \.tsv"):
        event_form("a.xml")
    with pytest.raises(ArgumentError, match="`form` \\(='xml'\\)"):
        event_form("a.csv", "xml")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="cannot be written"):
        write_events(tmp_path / "file" / "a.csv", SOUNDS)
