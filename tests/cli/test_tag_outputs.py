"""Where `audio-dcls tag` writes: one picture per sound, and no place that is refused only after the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audio_dcls.errors import ArgumentError
from audio_dcls_cli.screen import tag_outputs
from audio_dcls_cli.screen.tag_outputs import TagOutputs, picture_paths, run_tagging


@pytest.mark.parametrize(
    "names",
    [
        ["site1/x.wav", "site2/x.wav"],
        ["/site/x.wav", "site/x.wav", "../site/x.wav", "_/site/x.wav"],
        ["x.wav", "X.WAV", "x.wav-2"],
        [f"{'a' * 250}1.wav", f"{'a' * 250}2.wav", "é" * 127],
        ["-", "standard_input"],
    ],
)
def test_every_sound_has_its_own_picture_below_the_folder(names: list[str]) -> None:
    paths = [path.as_posix() for path in picture_paths(Path("pictures"), names).values()]
    assert len({path.casefold() for path in paths}) == len(names)
    assert all(path.startswith("pictures/") and ".." not in path for path in paths)
    assert all(len(Path(path).name.encode(errors="surrogateescape")) <= 255 for path in paths)


def test_names_that_do_not_repeat_are_short() -> None:
    assert picture_paths(Path("p"), ["one/a.wav"]) == {"one/a.wav": Path("p")}
    assert list(picture_paths(Path("p"), ["one/a.wav", "two/b.wav"]).values()) == [
        Path("p/a.wav.png"),
        Path("p/b.wav.png"),
    ]


@pytest.mark.parametrize("option", ["--timeline", "--plot"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / ("x.csv" if option == "--timeline" else "x.png")
    outputs = TagOutputs(False, None, False, *((place, None) if option == "--timeline" else (None, place)), None, None)

    def compute(*_: Any) -> None:
        pytest.fail("sounds were computed")

    def start() -> None:
        outputs.check()
        run_tagging(None, [sound], {}, outputs, windows_per_batch=1)  # type: ignore[arg-type]

    monkeypatch.setattr(tag_outputs, "_outcomes", compute)
    sound: Any = type("Sound", (), {"name": "a.wav"})()
    with pytest.raises(ArgumentError, match="cannot be written"):
        start()


def test_two_outputs_cannot_share_a_file(command_line: Any) -> None:
    text = command_line.refuse("tag", "a.wav", "--out", "x.jsonl", "--timeline", "./x.jsonl")
    assert "x.jsonl' is named for two outputs" in text
