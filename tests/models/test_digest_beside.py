"""A file of the first format has no digest; the checksums of its run stand in for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from audio_dcls.errors import CheckpointError
from audio_dcls.files import write_atomically
from audio_dcls.models.checkpoint.tensor_file import CHECKSUM_FILE, METADATA_KEY, has_digest, load_tensors


@pytest.fixture
def first_format(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    document = json.dumps({"format_version": 1, "aliases": {}})
    safetensors.torch.save_file({"a": torch.arange(1000.0)}, path, metadata={METADATA_KEY: document})
    return path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_found_by_the_checksums_beside(first_format: Path) -> None:
    assert not has_digest(first_format)
    digest = hashlib.sha256(first_format.read_bytes()).hexdigest()
    first_format.with_name(CHECKSUM_FILE).write_text(json.dumps({first_format.name: ["0" * 64, digest]}))
    assert has_digest(first_format)
    assert load_tensors(first_format)[0]["a"][7] == 7
    flip(first_format)
    with pytest.raises(CheckpointError, match=rf"is not as it was written.*'{CHECKSUM_FILE}' beside it says"):
        load_tensors(first_format)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content + b"x", "has 1 bytes more than its header names"),
        (lambda content: content[:-5], "is truncated: it has"),
        (lambda content: b"RIFF\x00\x10\x00\x00WAVEfmt " + content, "is no safetensors file"),
        (lambda _: b"{}", "is truncated"),
        (lambda _: b"", "is truncated: it has 0 of"),
    ],
)
def test_damage_is_told_apart(first_format: Path, change: object, said: str) -> None:
    first_format.write_bytes(change(first_format.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=said):
        load_tensors(first_format)


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"missing/model\.safetensors'"):
        write_atomically(tmp_path / "missing" / "model.safetensors", b"x")
