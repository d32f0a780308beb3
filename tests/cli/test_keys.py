"""`audio-dcls keys` makes, lists and revokes keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_a_key_is_made_listed_and_revoked(command_line: Any, tmp_path: Path) -> None:
    state = ["--state", tmp_path]
    assert "There are no keys yet" in command_line("keys", "list", *state).stdout
    made = command_line("keys", "add", "Ada", "--scope", "tag", "--scope", "train", *state)
    identity = made.stdout.split("_")[1]
    assert made.stdout.startswith("adcls_") and "stores only its hash" in made.stderr
    listed = command_line("keys", "list", "--json", *state).stdout
    (key,) = json.loads(listed)["keys"]
    assert (key["id"], key["name"], key["scopes"]) == (identity, "Ada", ["tag", "train"])
    assert made.stdout.strip() not in listed and identity in command_line("keys", "list", *state).stdout
    assert f"Revoked key {identity} (Ada)" in command_line("keys", "revoke", identity, *state).stdout
    assert "there are no keys" in command_line.refuse("keys", "revoke", identity, *state)
