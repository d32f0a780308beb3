"""`audio-dcls models`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from audio_dcls.dcls.swap.plan import count_parameters
from audio_dcls.errors import ModelError, PretrainedError
from audio_dcls.files import CACHE_VARIABLE
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.weights.published import PUBLISHED
from audio_dcls_cli.commands.models import app


def run(*arguments: str, width: int = 100) -> str:
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))


def test_list_names_the_published_weights(tmp_path: Path) -> None:
    lines = run("list", width=80).splitlines()
    (line,) = [line for line in lines if line.startswith("convnext_tiny-dcls ")]
    assert " ".join(line.split()) == "convnext_tiny-dcls AudioSet-2M 45.52 ± 0.05 113 MB no 8370979"
    assert any("https://zenodo.org/records/8370979" in line for line in lines)
    names = [weights.name for weights in PUBLISHED]
    assert [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in names] == names
    listed = json.loads(run("list", "--json"))["published"]
    assert [weights["name"] for weights in listed] == names
    assert {weights["cached"] for weights in listed} == {None}
    (tmp_path / "weights" / "8029747").mkdir(parents=True)
    (tmp_path / "weights" / "8029747" / listed[-1]["file"]).write_bytes(b"weights")
    listed = json.loads(run("list", "--json"))["published"]
    assert listed[-1]["num_bytes"] == 7
    assert run("fetch", listed[-1]["name"]).strip().replace("\n", "") == listed[-1]["cached"]


def test_published_sizes_are_those_of_the_models() -> None:
    for weights in PUBLISHED[:-1]:
        config = ModelConfig(name=weights.backbone, dcls=DclsConfig() if weights.name.endswith("-dcls") else None)
        with torch.device("meta"):
            tagger = build_tagger(config, FrontendConfig(), weights.num_classes)
        assert count_parameters(tagger) == weights.num_parameters


def test_fetch_of_a_name_that_is_none_gets_the_nearest() -> None:
    with pytest.raises(PretrainedError, match="did you mean 'convnext_tiny-dcls'"):
        run("fetch", "convnext_tiny-dlcs")


def test_list_names_the_members() -> None:
    text = run("list")
    assert "convnext_atto" in text and "fastvit_sa24" in text and "convnextv2" not in text
    listed = json.loads(run("list", "--json"))
    assert listed["paper"] == ["convnext_tiny", "convformer_s18", "fastvit_sa24"]
    assert listed["families"]["ConvFormer"][-1] == "convformer_s36"


@pytest.mark.parametrize(
    ("name", "num_layers", "before", "after"),
    [
        ("convnext_tiny", 18, 28_223_855, 28_221_263),
        ("convformer_s18-dcls", 18, 25_797_847, 25_781_207),
        ("fastvit_sa24", 25, 21_064_015, 21_016_655),
    ],
)
def test_show_prints_the_swap(name: str, num_layers: int, before: int, after: int) -> None:
    text = run("show", name)
    assert text.count("7x7→23x23") == num_layers
    assert f"{before:,}" in text and f"{after:,}" in text
    assert all(line.split()[0].count(".") >= 3 for line in text.splitlines() if "23x23" in line)


@pytest.mark.parametrize("name", ["convformer_s18", "fastvit_sa24"])
def test_eighty_columns_hold_a_layer_a_line(name: str) -> None:
    lines = run("show", name, width=80).splitlines()
    assert sum("7x7→23x23" in line and line.startswith("stages.") for line in lines) in (18, 25)
    assert not any(line.startswith(".") or "…" in line for line in lines)


def test_show_json_has_groups_and_counts() -> None:
    got = json.loads(run("show", "fastvit_sa24", "--json", "--num-classes", "10"))
    assert [len(names) for names in got["swap"]["groups"].values()] == [4, 4, 12, 5]
    assert got["num_parameters_after"] < got["num_parameters_before"]
    assert sum(part["before"] for part in got["parts"].values()) == got["num_parameters_before"]


def test_show_without_dcls_is_the_plain_model() -> None:
    text = run("show", "convnext_atto", "--no-dcls")
    assert "23x23" not in text and "stages" in text
    assert json.loads(run("show", "convnext_atto", "--no-dcls", "--json"))["swap"] is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("show", "convnext_tinny"), "convnext_tiny"), (("show", "convnext_tiny-dcls", "--no-dcls"), "-dcls")],
)
def test_mistakes_are_model_errors(arguments: tuple[str, ...], named: str) -> None:
    with pytest.raises(ModelError, match=named):
        run(*arguments)
