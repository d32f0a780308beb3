"""Configs: includes, overrides, and errors that name the key, the value and the remedy."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

from audio_dcls.errors import ConfigError
from audio_dcls.settings import Settings, build, dump_yaml, find_config, load_yaml, merge, parse_overrides


class Inner(Settings):
    rate: float = 1.0
    sizes: tuple[int, ...] = (1,)


class Span(Settings):
    first: int = 0
    last: int = 9

    @pydantic.model_validator(mode="after")
    def _check(self) -> Span:
        if self.last < self.first:
            raise ValueError(f"`last` (={self.last}) must be at least `first` (={self.first})")
        return self


class Outer(Settings):
    name: str = "x"
    inner: Inner = Inner()
    maybe: Inner | None = None
    span: Span = Span()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_an_include_may_be_a_shipped_config_unless_one_lies_beside_it(tmp_path: Path) -> None:
    top = write(tmp_path / "top.yaml", "include: small_data.yaml\nname: top\n")
    assert load_yaml(top) == {**load_yaml("small_data.yaml"), "name": "top"}
    write(tmp_path / "small_data.yaml", "seeds: [7]\n")
    assert load_yaml(top) == {"seeds": [7], "name": "top"}


def test_includes_merge_in_order_and_own_lines_win(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "name: a\ninner: {rate: 2.0, sizes: [1, 2]}\n")
    write(tmp_path / "sub/b.yaml", "inner: {rate: 3.0}\n")
    top = write(tmp_path / "top.yaml", "include: [a.yaml, sub/b.yaml]\nname: top\n")
    built = build(Outer, load_yaml(top), "top")
    assert built == Outer(name="top", inner=Inner(rate=3.0, sizes=(1, 2)))


def test_dump_and_load_give_an_equal_object(tmp_path: Path) -> None:
    config = Outer(name="é", inner=Inner(rate=1e-9, sizes=(3, 4)), maybe=Inner())
    path = write(tmp_path / "c.yaml", dump_yaml(config))
    assert build(Outer, load_yaml(path), "c") == config


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().name = "y"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"inner": {"rte": 1}}, "unknown key 'inner.rte'; did you mean 'rate'?"),
        ({"maybe": {"sizs": 1}}, "unknown key 'maybe.sizs'; did you mean 'sizes'?"),
        ({"zzzz": 1}, "known keys here: inner, maybe, name, span"),
        ({"inner": {"rate": "fast"}}, "'inner.rate' (='fast')"),
        ({"maybe": 3}, ", or null for none"),
        ({"span": {"first": 5, "last": 2}}, "my.yaml: in 'span': `last` (=2) must be at least `first` (=5)"),
    ],
)
def test_a_wrong_key_names_the_nearest(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Outer, values, "my.yaml")
    assert expected in str(caught.value)
    assert "my.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "not valid YAML"),
        ("- 1\n- 2\n", "must hold a mapping"),
        ("include: 3\n", "`include` (=3)"),
        ("include: nowhere.yaml\n", "nowhere.yaml"),
        ("include: c.yaml\n", "includes itself"),
        ("name: a\nname: b\n", "key 'name' is written twice"),
    ],
)
def test_a_broken_file_says_why(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path / "c.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert expected in str(caught.value)
    assert "c.yaml" in str(caught.value)


def test_overrides_read_yaml_values_and_exponents() -> None:
    got = parse_overrides(["inner.rate=4e-3", "inner.sizes=[1, 2]", "name=null"])
    assert got == {"inner": {"rate": 0.004, "sizes": [1, 2]}, "name": None}


@pytest.mark.parametrize("assignment", ["name", "=3", "a..b=1"])
def test_a_malformed_override_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError, match="key=value"):
        parse_overrides([assignment])


def test_merge_leaves_its_arguments_alone() -> None:
    base, update = {"a": {"x": 1}}, {"a": {"y": [1]}}
    merged = merge(base, update)
    merged["a"]["y"].append(2)
    assert base == {"a": {"x": 1}}
    assert update == {"a": {"y": [1]}}


def test_a_shipped_config_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config("configs/demo.yaml").is_file()
    assert find_config("demo.yaml") == find_config("configs/demo.yaml")
    with pytest.raises(ConfigError, match=r"demo\.yaml"):
        find_config("configs/nothing.yaml")
