"""Damage to a file of tensors is found, and named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from audio_dcls.errors import CheckpointError
from audio_dcls.models.checkpoint.tensor_file import check_digest, load_tensors, save_tensors


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"a": torch.arange(1000.0)}, {})
    return path


def test_a_flipped_bit_is_found(written: Path) -> None:
    assert load_tensors(written)[0]["a"][7] == 7
    content = bytearray(written.read_bytes())
    content[len(content) // 2] ^= 1
    written.write_bytes(content)
    for read in (check_digest, load_tensors):
        with pytest.raises(CheckpointError, match="is not as it was written: its sha256 is"):
            read(written)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content + b"x", "has 1 bytes more than its header names"),
        (lambda content: content[:-5], "is truncated: it has"),
        (lambda content: b"RIFF\x00\x10\x00\x00WAVEfmt " + content, "is not a safetensors file"),
        (lambda _: b"{}", "is truncated"),
        (lambda _: b"", "is truncated: it has 0 of"),
    ],
)
def test_damage_is_told_apart(written: Path, change: object, said: str) -> None:
    written.write_bytes(change(written.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=said):
        load_tensors(written)
    with pytest.raises(CheckpointError, match=said):
        check_digest(written)
