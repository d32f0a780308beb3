"""Publish a checkpoint with its model card on the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.utils import LocalTokenNotFoundError

from audio_dcls.errors import ArgumentError
from audio_dcls.models.checkpoint.checkpoint import load_tagger_tensors
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.models.weights.hub import HUB_FAILURES, REPO_ID, first_line
from audio_dcls.runs.model_card import build_card

CARD_FILE = "README.md"
CONFIG_FILE = "config.json"
"""The hub counts the downloads of a model by this file."""


def push_checkpoint(
    path: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    licence: str | None = None,
    replace_card: bool = False,
    message: str = "Publish a checkpoint",
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Publish a checkpoint on the hub, in one commit with a model card and its configuration.

    Return the address of the commit. The repository, "owner/name", is created if it does not exist, and can be made
    private then. An existing card is kept, with what people wrote into it, unless `replace_card` is true. `licence`
    replaces the one that the file names. Without a token the stored one is used, and without an endpoint the public
    hub, or `HF_ENDPOINT`.

    Raises `CheckpointError` if the file is missing, damaged, or not a tagger; `ArgumentError` if `repo_id` has the
    wrong form, or the hub refuses the commit.
    """
    path = Path(path)
    _, info = load_tagger_tensors(path)
    if not REPO_ID.fullmatch(repo_id):
        raise ArgumentError(f"`repo_id` (={repo_id!r}) must be 'owner/name', the form of names on the hub")
    api = huggingface_hub.HfApi(endpoint=endpoint, token=token, library_name="audio-dcls")
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        files: dict[str, Any] = {MODEL_FILE: str(path), CONFIG_FILE: _config(info)}
        if replace_card or not api.file_exists(repo_id, CARD_FILE):
            files[CARD_FILE] = build_card(info, repo_id=repo_id, licence=licence).encode()
        additions = [huggingface_hub.CommitOperationAdd(name, content) for name, content in files.items()]
        return str(api.create_commit(repo_id, additions, commit_message=message).commit_url)
    except LocalTokenNotFoundError as error:
        raise ArgumentError(
            f"`repo_id` (={repo_id!r}) needs a token of the hub to be written: run `hf auth login` or set HF_TOKEN"
        ) from error
    except HUB_FAILURES as error:
        raise ArgumentError(
            f"`repo_id` (={repo_id!r}): the hub refuses it: {first_line(error)}; check the name, the network, and "
            "that the token may write there (`hf auth login`)"
        ) from error


def _config(info: dict[str, Any]) -> bytes:
    """The model in a few lines, for people and for the hub's counter; the checkpoint contains everything."""
    keys = ("model", "frontend", "activation", "labels", "format_version")
    return json.dumps({key: info[key] for key in keys}, indent=2, ensure_ascii=False).encode()
