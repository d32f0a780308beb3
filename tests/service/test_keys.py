"""Keys are stored as hashes, and their names and scopes are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audio_dcls.errors import ArgumentError
from audio_dcls.service.keys import KeyFile


def test_keys_are_kept_as_hashes(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "state" / "keys.json")
    keys = {scope: file.add(f"{scope}'s own", [scope]) for scope in ("tag", "train", "admin")}
    path = file.path
    content = path.read_text()
    assert all(key not in content and key.split("_", 2)[2] not in content for key in keys.values())
    assert path.stat().st_mode & 0o077 == 0
    assert len(json.loads(content)) >= 3


def test_names_and_scopes_of_keys_are_checked(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    for name, scopes, said in (("", ["tag"], "name"), ("a", ["root"], "'root'"), ("a", [], "scope")):
        with pytest.raises(ArgumentError, match=said):
            file.add(name, scopes)
    with pytest.raises(ArgumentError, match="there are no keys"):
        file.revoke("x")
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(ArgumentError, match="not a file of API keys"):
        file.keys()
