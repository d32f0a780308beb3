"""Configs sent over HTTP can read only the files that the operator named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from audio_dcls.errors import ConfigError, ServiceError
from audio_dcls.runs.config import TrainConfig
from audio_dcls.service.runs.run_config import MAX_DEPTH, RunConfigs
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study_config import StudyPlan


class World:
    """A state folder, a data root, a folder of configs, and files outside them."""

    def __init__(self, folder: Path) -> None:
        self.state, self.root, self.dir, self.outside = (folder / name for name in ("state", "root", "dir", "outside"))
        for path in (self.state / "models", self.root / "sub", self.dir / "deep", self.outside):
            path.mkdir(parents=True)
        for path in (
            self.root / "a.csv",
            self.root / "sub/b.csv",
            self.outside / "secret.csv",
            self.state / "keys.json",
        ):
            path.write_text("id,path\n")
        (self.state / "models/dogs.safetensors").write_bytes(b"x")
        (self.root / "link.csv").symlink_to(self.outside / "secret.csv")
        (self.root / "inner.csv").symlink_to(self.root / "a.csv")
        (self.root / "loop.csv").symlink_to(self.root / "loop.csv")
        (folder / "sibling").symlink_to(self.root)
        (folder / "root-2").mkdir()
        (folder / "root-2/c.csv").write_text("id\n")
        self.write("mine.yaml", {"include": "small_data.yaml", "name": "mine", "data": {"manifests": ["a.csv"]}})
        self.write("deep/other.yaml", {"include": "../mine.yaml", "loop": {"epochs": 3}})
        self.write("leak.yaml", {"include": str(self.outside / "evil.yaml")})
        self.write("climb.yaml", {"include": "../outside/evil.yaml"})
        self.write(
            "study.yaml", {"seeds": [0, 1], "cases": {"a": {"config": "mine.yaml"}, "b": {"config": "mine.yaml"}}}
        )
        self.write("notes.txt", {"name": "x"})
        (self.outside / "evil.yaml").write_text("name: stolen\n")
        (self.dir / "linked.yaml").symlink_to(self.outside / "evil.yaml")
        self.configs = RunConfigs(self.state, [self.root, "s3://sounds/packs"], [self.dir])

    def write(self, name: str, values: dict[str, Any]) -> None:
        (self.dir / name).write_text(yaml.safe_dump(values))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def train_config(world: World, *arguments: Any, **keywords: Any) -> TrainConfig:
    built = world.configs.build(*arguments, **keywords)
    assert built.kind == "train" and isinstance(built.config, TrainConfig)
    return built.config


def test_a_shipped_config_trains_on_a_corpus_of_the_service(world: World) -> None:
    config = train_config(world, "demo.yaml", {"loop.epochs": 2, "data": {"demo_seed": 7}}, [3], "first-try")
    assert (config.name, config.seeds, config.loop.epochs) == ("first-try", (3,), 2)
    assert config.data.demo_folder == str(world.state / "demo_corpora/1100-300-7")
    assert config.model.name == "fastvit_t8"


def test_the_yaml_builds_the_same_config_again(world: World) -> None:
    built = world.configs.build("demo.yaml")
    assert build(TrainConfig, yaml.safe_load(built.to_yaml()), "again") == built.config


def test_a_mapping_may_include_what_is_shipped(world: World) -> None:
    config = train_config(world, {"include": "demo.yaml", "loop": {"epochs": 1}})
    assert (config.loop.epochs, config.loop.effective_batch) == (1, 16)


def test_files_of_config_dirs_have_names(world: World) -> None:
    assert train_config(world, "mine.yaml").data.manifests == (str(world.root / "a.csv"),)
    assert train_config(world, "deep/other.yaml").loop.epochs == 3


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("nothing.yaml", 404),
        ("linked.yaml", 404),
        ("deep/../mine.yaml", 422),
        ("../outside/evil.yaml", 422),
        ("/etc/passwd", 422),
        ("{outside}/evil.yaml", 422),
        ("notes.txt", 422),
        ("mine.yaml\n", 422),
        ("mine.yaml\0", 422),
        ("", 422),
        (".", 422),
        ("a" * 5000 + ".yaml", 422),
        ("leak.yaml", 422),
        ("climb.yaml", 422),
    ],
)
def test_a_name_is_no_path(world: World, name: str, status: int) -> None:
    with pytest.raises((ConfigError, ServiceError)) as caught:
        world.configs.build(name.format(outside=world.outside))
    assert getattr(caught.value, "status", 422) == status
    assert "stolen" not in str(caught.value)
    with pytest.raises((ConfigError, ServiceError)):
        world.configs.build({"include": name.format(outside=world.outside)})
    with pytest.raises((ConfigError, ServiceError)):
        world.configs.build({"seeds": [0], "cases": {"a": {"config": name.format(outside=world.outside)}}})


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("{root}/a.csv", "{root}/a.csv"),
        ("{root}/sub/../a.csv", "{root}/a.csv"),
        ("a.csv", "{root}/a.csv"),
        ("sub/b.csv", "{root}/sub/b.csv"),
        ("inner.csv", "{root}/a.csv"),
        ("{root}", "{root}"),
        ("file://{root}/a.csv", "{root}/a.csv"),
        ("{root}/../sibling/a.csv", "{root}/a.csv"),
        ("s3://sounds/packs", "s3://sounds/packs"),
        ("s3://sounds/packs/mine", "s3://sounds/packs/mine"),
        ("{state}/models/dogs.safetensors", "{state}/models/dogs.safetensors"),
        ("dogs.safetensors", "{state}/models/dogs.safetensors"),
    ],
)
def test_paths_inside_a_root_are_written_out(world: World, value: str, meant: str) -> None:
    names = {"root": world.root, "state": world.state}
    config = train_config(world, {"data": {"manifests": [value.format(**names)]}})
    assert config.data.manifests == (meant.format(**names),)


@pytest.mark.parametrize(
    "value",
    [
        "/etc/passwd",
        "{outside}/secret.csv",
        "{outside}/not_there.csv",
        "../outside/secret.csv",
        "{root}/../outside/secret.csv",
        "{root}/link.csv",
        "link.csv",
        "loop.csv",
        "{root}-2/c.csv",
        "{state}/keys.json",
        "../keys.json",
        "file:///etc/passwd",
        "local:/etc/passwd",
        "s3://sounds",
        "s3://sounds/packs-2/x",
        "s3://sounds/packs/../other",
        "s3://other/packs",
        "gs://sounds/packs",
        "memory://x",
        "http://169.254.169.254/latest",
        "simplecache::s3://sounds/packs",
        "s3://sounds/packs::file:///etc",
        "simplecache::/etc/passwd",
        "s3://sounds/packs/x?versionId=1",
        "hf:owner/name",
        "not_there.csv",
        "a\0.csv",
        "x" * 5000,
        "~/secret.csv",
    ],
)
@pytest.mark.parametrize("key", ["data.manifests", "data.labels", "model.pretrained_file", "distillation.file"])
def test_paths_outside_are_refused(world: World, key: str, value: str) -> None:
    text = value.format(outside=world.outside, root=world.root, state=world.state)
    with pytest.raises(ConfigError) as caught:
        world.configs.build({"data": {"manifests": ["a.csv"]}}, {key: [text] if key == "data.manifests" else text})
    message = str(caught.value)
    assert f"`{key}`" in message and str(world.root) in message and "s3://sounds/packs" in message


def test_no_root_is_said_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no such folder.*`data_roots`"):
        RunConfigs(tmp_path).build({"data": {"manifests": ["/etc/passwd"]}})


def test_a_root_that_lost_a_slash_is_an_address(tmp_path: Path) -> None:
    configs = RunConfigs(tmp_path, [Path("s3://sounds/packs")])
    built = configs.build({"data": {"manifests": ["s3://sounds/packs/a"]}})
    assert isinstance(built.config, TrainConfig) and built.config.data.manifests == ("s3://sounds/packs/a",)


def test_published_weights_have_names(world: World) -> None:
    from audio_dcls.models.weights.published import PUBLISHED

    config = train_config(
        world, {"include": "demo.yaml", "model": {"pretrained": True, "pretrained_file": PUBLISHED[0].name}}
    )
    assert config.model.pretrained_file == PUBLISHED[0].name


def test_a_study_is_planned_whole(world: World) -> None:
    built = world.configs.build("demo_study.yaml", {"loop.epochs": 1}, [0], "small")
    assert built.kind == "study" and isinstance(built.config, StudyPlan)
    assert (built.name, built.config.seeds, len(built.config.cases)) == ("small", (0,), 6)
    for case in built.config.cases.values():
        assert case.config.loop.epochs == 1 and str(case.config.data.demo_folder).startswith(str(world.state))
    own = world.configs.build("study.yaml")
    assert isinstance(own.config, StudyPlan) and list(own.config.cases) == ["a", "b"]
    sent = world.configs.build({"seeds": [0], "cases": {"a": {"config": "mine.yaml", "set": {"loop": {"epochs": 9}}}}})
    assert isinstance(sent.config, StudyPlan) and sent.config.cases["a"].config.loop.epochs == 9


def test_a_case_cannot_set_a_path_outside(world: World) -> None:
    case = {"config": "mine.yaml", "set": {"data": {"manifests": ["/etc/passwd"]}}}
    with pytest.raises(ConfigError, match="data_roots"):
        world.configs.build({"seeds": [0], "cases": {"a": case}})


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": "demo.yaml", "seeds": []}, "`seeds`"),
        ({"config": "demo.yaml", "seeds": list(range(21))}, "1 to 20"),
        ({"config": "demo.yaml", "seeds": [-1]}, "from 0"),
        ({"config": "demo.yaml", "seeds": [2**31]}, "from 0"),
        ({"config": "demo.yaml", "seeds": [1, 1]}, "distinct"),
        ({"config": {"seeds": list(range(30))}}, "1 to 20"),
        ({"config": "demo.yaml", "name": "../x"}, "`name`"),
        ({"config": "demo.yaml", "name": "x" * 65}, "`name`"),
        ({"config": {"name": ".."}}, "`name`"),
        ({"config": "demo.yaml", "overrides": {"loop..epochs": 1}}, "override"),
        ({"config": "demo.yaml", "overrides": {"loop.epoch": 1}}, "did you mean 'epochs'"),
        ({"config": "demo.yaml", "overrides": {"loop.epochs": "many"}}, "loop.epochs"),
        ({"config": "demo.yaml", "overrides": {"loop": 3}}, "loop"),
        ({"config": "demo.yaml", "overrides": {"model.name": "resnet50"}}, "families"),
        ({"config": "demo.yaml", "overrides": {"data.demo_train_clips": 10**9}}, "20000"),
        ({"config": nested(2000)}, f"{MAX_DEPTH} deep"),
        ({"config": "demo.yaml", "overrides": nested(2000)}, f"{MAX_DEPTH} deep"),
        ({"config": {"include": 3}}, "`include`"),
        ({"config": {}}, "`data.manifests` is empty"),
        ({"config": {"\ud800": 1}}, "Unicode"),
        ({"config": "demo.yaml", "overrides": {"\ud800": 1}}, "Unicode"),
        ({"config": "demo.yaml", "overrides": {"data.labels": "\ud800"}}, "Unicode"),
        ({"config": "\ud800"}, "`config`"),
        ({"config": "demo.yaml", "name": "\ud800"}, "`name`"),
        ({"config": {"cases": 3}}, "cases"),
    ],
)
def test_mistakes_are_named(world: World, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        world.configs.build(**arguments)
    str(caught.value).encode()


def test_overrides_are_merged_like_a_file(world: World) -> None:
    config = train_config(world, merge({"include": "demo.yaml"}, {}), {"model.overrides": {"depths": [1, 1, 1, 1]}})
    assert config.model.overrides["dims"] == [24, 48, 96, 192] and config.model.overrides["depths"] == [1, 1, 1, 1]
