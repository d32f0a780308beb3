"""Checkpoints on the Hugging Face hub, fetched into the hub's own cache."""

from __future__ import annotations

import re
from pathlib import Path

import huggingface_hub
from huggingface_hub.utils import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from audio_dcls.errors import PretrainedError
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.models.weights.published import HUB_PREFIX

HUB_FAILURES: tuple[type[Exception], ...] = (OSError, HFValidationError, *HfHubHTTPError.__bases__)
"""Errors of the hub's client: its own, and those of its HTTP library, which version 1 of the client replaced."""

REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
"""The form of a repository's name: owner/name."""


def fetch_checkpoint(name: str, *, token: str | None = None, endpoint: str | None = None) -> Path:
    """The file of a checkpoint on the hub; it is fetched once and kept in the hub's own cache.

    `name` is "hf:owner/name", or "hf:owner/name@revision" for another version than the newest. The token is for private
    repositories; the endpoint is the public hub by default. A `PretrainedError` says why it cannot be fetched.
    """
    repo_id, _, revision = name.removeprefix(HUB_PREFIX).partition("@")
    if not REPO_ID.fullmatch(repo_id):
        raise PretrainedError(f"'{name}' must be {HUB_PREFIX}owner/name, the form of names on the hub")
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
            f"'{name}' is not on the hub, is private, or holds no {MODEL_FILE}: {first_line(error)}; check the name, "
            "or log in (`hf auth login`)"
        ) from error
    except HUB_FAILURES as error:
        raise PretrainedError(f"'{name}' cannot be fetched: {first_line(error)}; try again") from error
    return Path(found)


def first_line(error: Exception) -> str:
    """An error of the hub on one line, at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300] or type(error).__name__
