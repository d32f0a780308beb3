"""Checkpoints on the Hugging Face hub: published with a model card, and fetched back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.utils import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)

from audio_dcls.errors import ArgumentError, PretrainedError
from audio_dcls.models.checkpoint.checkpoint import load_tagger_tensors
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.models.weights.model_card import build_card
from audio_dcls.models.weights.published import HUB_PREFIX

CARD_FILE = "README.md"
CONFIG_FILE = "config.json"
"""The hub counts how often a model is fetched by this file."""

_FAILURES: tuple[type[Exception], ...] = (OSError, HFValidationError, *HfHubHTTPError.__bases__)
"""What the hub's client raises: its own errors, and those of the HTTP library below it, another since version 1."""

_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


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
    """Put a checkpoint on the hub, in one commit with a model card and its configuration.

    The repository is made where there is none. A card that is there stays, so that what people wrote into it is kept.

    Args:
        path: a tagger's .safetensors file.
        repo_id: "owner/name".
        private: whether a repository that is made now is private.
        licence: of the weights, in place of the one the file names.
        replace_card: whether a card that is there is written anew.
        message: of the commit.
        token: of the hub; None takes the one that is logged in.
        endpoint: address of the hub; None is the public one, or `HF_ENDPOINT`.

    Returns:
        Address of the commit.

    Raises:
        CheckpointError: the file is missing, damaged, or of no tagger.
        ArgumentError: the name is none, or the hub refuses it.
    """
    path = Path(path)
    _, info = load_tagger_tensors(path)
    if not _REPO_ID.fullmatch(repo_id):
        raise ArgumentError(f"`repo_id` (={repo_id!r}) must be 'owner/name', as the hub has it")
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
    except _FAILURES as error:
        raise ArgumentError(
            f"`repo_id` (={repo_id!r}): the hub refuses it: {_first_line(error)}; check the name, the network, and "
            "that the token may write there (`hf auth login`)"
        ) from error


def fetch_checkpoint(name: str, *, token: str | None = None, endpoint: str | None = None) -> Path:
    """The file of a checkpoint on the hub, fetched once and then kept in the hub's own cache.

    Args:
        name: "hf:owner/name", with "@revision" behind it for another state than the newest.
        token: of the hub, for what is private.
        endpoint: address of the hub; None is the public one.

    Raises:
        PretrainedError: there is none of that name, or it is neither here nor to be had.
    """
    repo_id, _, revision = name.removeprefix(HUB_PREFIX).partition("@")
    if not _REPO_ID.fullmatch(repo_id):
        raise PretrainedError(f"'{name}' must be {HUB_PREFIX}owner/name, as the hub has it")
    try:
        found = huggingface_hub.hf_hub_download(
            repo_id, MODEL_FILE, revision=revision or None, token=token, endpoint=endpoint, library_name="audio-dcls"
        )
    except LocalEntryNotFoundError as error:
        raise PretrainedError(
            f"'{name}' is not on this machine and the hub cannot be reached; connect to the network once, or fetch "
            f"{MODEL_FILE} from its page on another machine and name that file"
        ) from error
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        raise PretrainedError(
            f"'{name}' is not on the hub, is private, or holds no {MODEL_FILE}: {_first_line(error)}; check the name, "
            "or log in (`hf auth login`)"
        ) from error
    except _FAILURES as error:
        raise PretrainedError(f"'{name}' cannot be fetched: {_first_line(error)}; try again") from error
    return Path(found)


def _config(info: dict[str, Any]) -> bytes:
    """The model in a few lines, for people and for the hub's counter; the checkpoint has it all."""
    keys = ("model", "frontend", "activation", "labels", "format_version")
    return json.dumps({key: info[key] for key in keys}, indent=2, ensure_ascii=False).encode()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300] or type(error).__name__
