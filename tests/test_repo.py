"""The repository's own files agree with each other: packages, versions, the container image, the command."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
MAX_HELP_S = 1.0
"""A prompt's patience, in processor time: on a busy machine the clock would measure the other processes."""


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def all_requirements(pyproject: dict[str, Any]) -> list[Requirement]:
    extras = pyproject["project"]["optional-dependencies"].values()
    found = [Requirement(line) for group in (pyproject["project"]["dependencies"], *extras) for line in group]
    return [requirement for requirement in found if requirement.name != pyproject["project"]["name"]]


def test_constraints_name_one_exact_version_of_each_package(constraints: list[Requirement]) -> None:
    for requirement in constraints:
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(requirement.specifier)), requirement
        assert requirement.url is None
    names = [canonicalize_name(requirement.name) for requirement in constraints]
    assert len(names) == len(set(names))
    assert names == sorted(names)


def test_constraints_satisfy_every_declared_range(pyproject: dict[str, Any], constraints: list[Requirement]) -> None:
    pinned = {canonicalize_name(r.name): next(iter(r.specifier)).version for r in constraints}
    for requirement in all_requirements(pyproject):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_constraints_hold_what_the_dependencies_need_here(
    pyproject: dict[str, Any], constraints: list[Requirement]
) -> None:
    pinned = {canonicalize_name(requirement.name) for requirement in constraints}
    extras = pyproject["project"]["optional-dependencies"]
    lines = [*pyproject["project"]["dependencies"], *extras["dev"], *extras["test"]]  # those of `make test`
    own = [
        extra for line in lines if (r := Requirement(line)).name == pyproject["project"]["name"] for extra in r.extras
    ]
    lines = [line for extra in own for line in extras[extra]] + lines
    pending = [canonicalize_name(Requirement(line).name) for line in lines]
    pending = [name for name in pending if name != pyproject["project"]["name"]]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(canonicalize_name(requirement.name))
    assert seen <= pinned


def test_constraints_hold_torch_packages_of_one_release(constraints: list[Requirement]) -> None:
    pinned = {r.name: next(iter(r.specifier)).version for r in constraints}
    needs = [Requirement(line) for line in importlib.metadata.requires("torchvision") or []]
    if importlib.metadata.version("torchvision").partition("+")[0] != pinned["torchvision"]:
        pytest.skip("another torchvision is installed than the one pinned")
    (torch,) = [requirement for requirement in needs if requirement.name == "torch"]
    assert torch.specifier.contains(pinned["torch"])


def package_folder(package: str, pyproject: dict[str, Any]) -> Path:
    top, _, rest = package.partition(".")
    return ROOT / pyproject["tool"]["setuptools"]["package-dir"].get(top, top) / rest.replace(".", "/")


def test_every_package_is_in_the_wheel(pyproject: dict[str, Any]) -> None:
    folders = {package_folder(package, pyproject) for package in pyproject["tool"]["setuptools"]["packages"]}
    found = {path.parent for top in ("audio_dcls", "cli") for path in ROOT.glob(f"{top}/**/*.py")}
    assert found <= folders
    assert all(folder.is_dir() for folder in folders)


@pytest.mark.parametrize("pattern", ["configs/**/*.yaml", "data_manifests/**/*.csv"])
def test_every_data_file_is_in_the_wheel(pattern: str, pyproject: dict[str, Any]) -> None:
    shipped: set[Path] = set()
    for package, globs in pyproject["tool"]["setuptools"]["package-data"].items():
        shipped.update(path for glob in globs for path in package_folder(package, pyproject).glob(glob))
    found = set(ROOT.glob(pattern))
    assert found
    assert found <= shipped


def test_no_file_is_longer_than_400_lines() -> None:
    files = [path for folder in ("audio_dcls", "cli", "tests", "benchmarks") for path in ROOT.glob(f"{folder}/**/*.py")]
    assert not [path for path in files if len(path.read_text(encoding="utf-8").splitlines()) > 400]


def processor_s(command: list[str]) -> float:
    """Processor time of one process, and of no other child of this one."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_help_answers_within_a_second() -> None:
    command = [sys.executable, "-m", "audio_dcls_cli", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)  # the first may compile
    assert min(processor_s(command) for _ in range(3)) < MAX_HELP_S  # neighbours in the caches only ever add to it
    for name in ("train", "eval", "tag"):
        assert name in answer.stdout


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "timm", "numpy", "scipy", "pandas", "sklearn", "pydantic", "lightning_fabric", "soundfile")
    code = f"import sys, audio_dcls_cli.main; print(*(name for name in {heavy} if name in sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


def test_continuous_integration_runs_the_documented_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.rstrip().endswith("make test")
    assert "set -eu" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
