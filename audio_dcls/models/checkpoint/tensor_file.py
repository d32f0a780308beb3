"""Tensors and JSON in one safetensors file, written atomically, with a checksum of every byte. No pickle.

The file's metadata has two keys. `audio_dcls` is JSON: the format version, `aliases`, and what the writer adds. A
tensor with several names is stored once, and `aliases` maps its other names to the stored name. `sha256` is the digest
of the whole file with 64 zeros in the digest's own place.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from audio_dcls.errors import CheckpointError
from audio_dcls.files import path_remedy, write_atomically

METADATA_KEY = "audio_dcls"
DIGEST_KEY = "sha256"
FORMAT_VERSION = 2
"""The format of the JSON that is written; files of a later format are refused."""
_NO_DIGEST = "0" * 64
_DIGEST_MARK = f'"{DIGEST_KEY}":"'.encode()
MAX_HEADER_BYTES = 100_000_000
"""safetensors accepts no longer header."""
_LENGTH_BYTES = 8
"""A safetensors file begins with the length of its JSON header."""
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""A zip archive, as torch.save writes since version 1.6, or a bare pickle."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
    """Write tensors and JSON to a safetensors file, atomically; a tensor with several names is stored once.

    The bytes go to a temporary file in the same folder, are flushed to disk, and only then take the final name.
    """
    write_atomically(path, encode_tensors(tensors, info))


def encode_tensors(tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> bytearray:
    """The bytes of a file of tensors and JSON."""
    stored: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first_name: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and key in first_name:
            aliases[name] = first_name[key]
        else:
            first_name[key] = name
            stored[name] = tensor.detach().cpu().contiguous()
    document = json.dumps({**info, "format_version": FORMAT_VERSION, "aliases": aliases})
    content = bytearray(safetensors.torch.save(stored, metadata={METADATA_KEY: document, DIGEST_KEY: _NO_DIGEST}))
    place = _digest_place(content)
    assert place is not None
    content[place : place + len(_NO_DIGEST)] = hashlib.sha256(content).hexdigest().encode()
    return content


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote; the tensors are mapped from the file. Errors are those of `load_info`."""
    info = load_info(path)
    check_digest(path)
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    for alias, name in info.pop("aliases").items():
        tensors[alias] = tensors[name]
    return tensors, info


def load_info(path: Path) -> dict[str, Any]:
    """The JSON of a file, without reading or checking its tensors.

    Raises:
        CheckpointError: the file is missing, damaged, not ours, or newer than this program.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if METADATA_KEY not in metadata:
        raise CheckpointError(
            f"'{path}' is a safetensors file but not an audio_dcls checkpoint (no '{METADATA_KEY}' metadata); if it "
            "is of the authors' own training, convert it with `audio-dcls checkpoint convert`"
        )
    try:
        info = json.loads(metadata[METADATA_KEY])
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"checkpoint '{path}' has damaged metadata ({error}); restore the file from a backup"
        ) from error
    version = info.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise CheckpointError(
            f"checkpoint '{path}' has no valid format number ({version!r}); restore the file from a backup"
        )
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint '{path}' has format {version}, this program reads up to {FORMAT_VERSION}; upgrade audio-dcls"
        )
    if version < FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint '{path}' has format {version} of an early draft, this program reads format {FORMAT_VERSION}; "
            "train or convert the model again"
        )
    return info


def check_digest(path: Path) -> None:
    """Refuse a file with a `CheckpointError` if it is missing, or if any byte has changed since it was written."""
    with _opened(path):
        pass  # names a file that is missing, empty or truncated
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = _digest_place(content)
        if place is None:
            raise CheckpointError(
                f"checkpoint '{path}' is not as it was written: it has no sha256; copy or download it again"
            )
        end = place + len(_NO_DIGEST)
        stored = content[place:end]
        with memoryview(content) as view:
            digest = hashlib.sha256(view[:place])
            digest.update(_NO_DIGEST.encode())
            digest.update(view[end:])
    if digest.hexdigest().encode() != stored:
        raise CheckpointError(
            f"checkpoint '{path}' is not as it was written: its sha256 is {digest.hexdigest()[:16]}…, but it names "
            f"{stored.decode(errors='replace')[:16]}…; copy or download it again"
        )


def _digest_place(content: bytes | bytearray | mmap.mmap) -> int | None:
    """Position of the digest's first digit; None for a file without a digest.

    In the header's JSON the other metadata is text in quotes, so its own quotes have backslashes before them.
    """
    header_end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    found = content.find(_DIGEST_MARK, _LENGTH_BYTES, header_end)
    return None if found < 0 else found + len(_DIGEST_MARK)


def _opened(path: Path) -> Any:
    """A safetensors file, open."""
    if not path.is_file():
        raise CheckpointError(f"checkpoint '{path}' does not exist; {path_remedy(path)}")
    try:
        return safetensors.safe_open(str(path), framework="pt")
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(_describe_damage(path, error)) from error


def _describe_damage(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(_LENGTH_BYTES)
    if path.suffix == ".pt2":
        return (
            f"'{path}' is a program of `export --format torch-export`, for torch.export.load; tag with the checkpoint"
        )
    if start.startswith(_PICKLE_STARTS):
        return (
            f"'{path}' is a pickle, which can run any program when it is read; nothing in it was run. If it contains "
            "weights of the authors' own training, `audio-dcls checkpoint convert` reads only the weights"
        )
    size, wanted = path.stat().st_size, _promised_bytes(path)
    if wanted is None:
        return f"'{path}' is not a safetensors file ({size} bytes); give a checkpoint of audio_dcls"
    if size < wanted:
        return f"checkpoint '{path}' is truncated: it has {size} of {wanted} bytes; copy or download it again"
    if size > wanted:
        return f"checkpoint '{path}' has {size - wanted} bytes more than its header names; copy or download it again"
    return f"checkpoint '{path}' cannot be read as safetensors ({error}); restore the file from a backup"


def _promised_bytes(path: Path) -> int | None:
    """Length that a file's header promises, as far as the header is complete; None if it is not a safetensors file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        start = file.read(1)
        if path.stat().st_size == 0:
            return _LENGTH_BYTES
        if start not in (b"{", b"") or length > MAX_HEADER_BYTES:
            return None
        header = start + file.read(length - 1)
    if len(header) < length:
        return _LENGTH_BYTES + length
    try:
        entries = json.loads(header)
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return path.stat().st_size
    return _LENGTH_BYTES + length + max(ends, default=0)


def is_ours(path: Path) -> bool:
    """Return whether a file exists and was written by `save_tensors`."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return False
