"""House rules that a program can check: small folders, files and functions, imports at the top, plain words."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperGroup

from audio_dcls_cli.main import app

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for top in ("audio_dcls", "cli") for path in ROOT.glob(f"{top}/**/*.py"))
PROSE = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "data_manifests/*.md", "configs/**/*.yaml", "audio_dcls/**/*", "cli/**/*.py",
                    "tests/**/*.py", "benchmarks/*.py", "deploy/*")
    for path in ROOT.glob(pattern)
    if path.suffix in (".md", ".yaml", ".py", ".js", ".html", ".css", ".j2", ".service") and "vendor" not in path.parts
    if path != Path(__file__)
)  # fmt: skip
MAX_MODULES, MAX_LINES, MAX_FUNCTION_LINES, MAX_DEFERRED_IMPORTS = 16, 400, 60, 80
LONG_COMMANDS = {"cli/commands/tag.py"}
"""Commands whose list of options alone is longer than a function may be."""

OLD_WORDS = re.compile(
    r"\b(anew|mend|mends|mended|manieth|to be had|told|beside|said once|stay own|stays own|restore a copy of it|"
    r"let no run seem|is the user's to|which is none|have all threads)\b",
    re.IGNORECASE,
)
COMMAND = re.compile(
    r"(?:^|[`\"'$({]|: |\$ )\s*audio-dcls ([a-z][a-z0-9-]*)(?: ([a-z][a-z0-9-]*)(?![\w./*=:]))?", re.MULTILINE
)
"""A command where it is quoted, follows a colon, or begins a line."""
WITH_DEFAULT = {"study", "pack"}
"""Groups whose first word may also be an argument."""
OLD_BEGINNING = re.compile(r'"""Of [a-z(]')


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_folder_has_more_than_16_modules() -> None:
    counts = Counter(path.parent.relative_to(ROOT) for path in SOURCES if path.name != "__init__.py")
    assert {str(folder): count for folder, count in counts.items() if count > MAX_MODULES} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    names = {path: str(path.relative_to(ROOT)) for path in SOURCES}
    long = [
        f"{names[path]}: {function.name}"
        for path in SOURCES
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= MAX_FUNCTION_LINES and names[path] not in LONG_COMMANDS
    ]
    assert long == []


def test_imports_are_at_the_top_of_their_file() -> None:
    deferred = {
        (path, node.lineno)
        for path in SOURCES
        for function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert len(deferred) < MAX_DEFERRED_IMPORTS


def test_words_are_plain() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in PROSE
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if OLD_WORDS.search(line) or OLD_BEGINNING.search(line)
    ]
    assert found == []


def command_names() -> set[str]:
    """Every command and group of the command line, such as `manifest` and `manifest check`."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    names = set()
    for name, command in group.commands.items():
        names.add(name)
        if isinstance(command, TyperGroup):
            names.update(f"{name} {inner}" for inner in command.commands)
    return names


def test_commands_that_are_named_exist() -> None:
    names = command_names()
    groups = {name.partition(" ")[0] for name in names if " " in name}
    unknown = []
    for path in PROSE:
        for found in COMMAND.finditer(path.read_text(encoding="utf-8")):
            command, inner = found[1], found[2]
            is_known = command in names
            if command in groups - WITH_DEFAULT and inner is not None:
                is_known = f"{command} {inner}" in names
            if not is_known:
                unknown.append(f"{path.relative_to(ROOT)}: {found[0].strip()}")
    assert unknown == []


def test_that_commands_are_checked() -> None:
    assert {"train", "manifest check", "study table", "checkpoint push"} <= command_names()
    found = COMMAND.search("see `audio-dcls manifest audit`")
    assert found is not None and " ".join(found.groups()) == "manifest audit"
    assert "manifest audit" not in command_names()
