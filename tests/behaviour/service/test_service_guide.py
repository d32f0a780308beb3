"""The settings, addresses and commands in docs/service.md and deploy/ exist."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from audio_dcls.service.app import build_app
from audio_dcls.service.settings import ServiceSettings
from audio_dcls_cli.main import app as command
from tests.service.conftest import listening, wav

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")


def test_every_setting_that_is_named_is_one() -> None:
    table = GUIDE[GUIDE.index("| key | default | note |") : GUIDE.index("`/healthz` answers")]
    named = [
        name for row in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]
    assert len(named) > 20
    assert set(named) <= set(ServiceSettings.model_fields)
    explained = [name for name, field in ServiceSettings.model_fields.items() if not field.description]
    assert explained == []


def test_every_address_of_the_examples_is_a_route(tmp_path: Path) -> None:
    paths = build_app(ServiceSettings(state_dir=tmp_path)).openapi()["paths"]
    patterns = [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in paths]
    asked = re.findall(r"http://127\.0\.0\.1:8000(/v1/[\w/]+)", GUIDE)
    assert len(asked) >= 12
    for path in asked:
        assert any(pattern.fullmatch(path) for pattern in patterns), path


def test_the_example_of_live_sound_runs(
    settings_of: Callable[..., ServiceSettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = re.search(r"```python\n(import asyncio.*?)```", GUIDE, re.DOTALL)
    assert code is not None
    (tmp_path / "street.wav").write_bytes(wav(3.0))
    monkeypatch.chdir(tmp_path)
    with listening(settings_of(tmp_path)) as address:
        # The small model's clips are shorter than two seconds.
        here = (
            code.group(1).replace("127.0.0.1:8000", address.removeprefix("http://")).replace("window_s=2", "window_s=1")
        )
        exec(here, {})
    printed = capsys.readouterr().out
    assert "'type': 'scores'" in printed
    assert "'type': 'result'" in printed


def arguments(files: dict[str, Any]) -> list[list[str]]:
    compose, kubernetes, unit = files["compose"], files["kubernetes"], files["unit"]
    deployment = next(one for one in kubernetes if one["kind"] == "Deployment")
    start = re.search(r"^ExecStart=\S+/audio-dcls (.*)$", unit, re.MULTILINE)
    assert start is not None
    return [
        compose["services"]["service"]["command"],
        deployment["spec"]["template"]["spec"]["containers"][0]["args"],
        start.group(1).split(),
    ]


def test_what_is_deployed_is_a_command_of_ours() -> None:
    folder = ROOT / "deploy"
    files = {
        "compose": yaml.safe_load((folder / "compose.yaml").read_text()),
        "kubernetes": list(yaml.safe_load_all((folder / "kubernetes.yaml").read_text())),
        "unit": (folder / "audio-dcls.service").read_text(),
    }
    import typer.main

    serve = typer.main.get_command(command).commands["serve"]  # type: ignore[attr-defined]
    options = {option for parameter in serve.params for option in parameter.opts}
    for given in arguments(files):
        assert given[0] == "serve"
        assert {word for word in given if word.startswith("--")} <= options
