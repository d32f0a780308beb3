"""`audio-dcls demo` through the real application."""

from __future__ import annotations

import json
from pathlib import Path

import soundfile
from typer.testing import CliRunner

from audio_dcls.errors import ManifestError
from audio_dcls_cli.main import app

ARGUMENTS = ["--num-train", "3", "--num-eval", "2", "--seed", "4"]


def test_writes_the_corpus_and_keeps_it(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    done = CliRunner().invoke(app, ["demo", str(folder), *ARGUMENTS])
    assert done.exit_code == 0, done.output
    assert "written" in done.output
    assert len((folder / "manifest.csv").read_text().splitlines()) == 6
    assert all(soundfile.info(path).frames > 0 for path in (folder / "audio").iterdir())
    again = CliRunner().invoke(app, ["demo", str(folder), *ARGUMENTS, "--json"])
    paths = json.loads(again.output)
    assert paths.pop("reused") is True
    assert all(Path(path).exists() for path in paths.values())


def test_leaves_a_folder_of_other_things_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    done = CliRunner().invoke(app, ["demo", str(tmp_path), *ARGUMENTS])
    assert isinstance(done.exception, ManifestError)
    assert str(tmp_path) in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
