"""Download one file over HTTP: resumable, checked, and complete before it gets its name.

The bytes so far are in a hidden file next to the target, together with the server's tag of the file's version, so a
later call resumes where this one stopped (RFC 9110, sections 13.1.5 and 14.2: `If-Range` and `Range`). pooch is not
used: it cannot resume a download.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib.metadata
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from audio_dcls.errors import PretrainedError

Progress = Callable[[int, int | None], None]
"""Called with the number of bytes so far and the total; the total is None if it is unknown."""

TIMEOUT_S = 30.0
MAX_ATTEMPTS = 5
"""Connections that may break in a row, if each brings some bytes, before the download fails."""

_CHUNK_BYTES = 1 << 18
_SERVER_FAULT = 500
_BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError)


def download(
    url: str,
    target: str | Path,
    *,
    num_bytes: int | None = None,
    checksum: str | None = None,
    progress: Progress | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """Download a file over http or https, or resume its download, and return the target.

    Only a complete file replaces the target. `num_bytes` is its size; None trusts the server. `checksum` is "md5:..."
    or "sha256:..." in hexadecimal digits; None checks only the size. A connection that is silent for `timeout_s` counts
    as broken. A `PretrainedError` says that the file cannot be downloaded, or has another size or checksum.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        before = _size(part)
        try:
            total = _resume(url, part, checksum is not None, progress, timeout_s)
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                _forget(part)
                continue
            is_passing = error.code == http.HTTPStatus.TOO_MANY_REQUESTS or error.code >= _SERVER_FAULT
            remedy = "try again later" if is_passing else "check the address"
            raise PretrainedError(f"'{url}' answers {error.code} {error.reason}; {remedy}") from error
        except (urllib.error.URLError, *_BROKEN) as error:
            if attempt < MAX_ATTEMPTS and _size(part) > before:
                continue
            reason = getattr(error, "reason", None) or error
            raise PretrainedError(
                f"'{url}' cannot be reached ({reason}); check the network and try again, which resumes after "
                f"{_size(part)} bytes"
            ) from error
        if total is None or _size(part) >= total:
            break
    _check(part, url, total if num_bytes is None else num_bytes, checksum)
    os.replace(part, target)
    _tag_file(part).unlink(missing_ok=True)
    return target


def _resume(url: str, part: Path, is_checked: bool, progress: Progress | None, timeout_s: float) -> int | None:
    """Fetch the missing bytes, and return the size of the file if the server sends it."""
    headers = {"User-Agent": f"audio-dcls/{importlib.metadata.version('audio-dcls')}", "Accept-Encoding": "identity"}
    done, tag = _size(part), _tag_file(part)
    known = tag.read_text(encoding="utf-8") if tag.is_file() else ""
    # Without a tag, only a checksum can show that the rest is of the same version.
    if done and (known or is_checked):
        headers["Range"] = f"bytes={done}-"
        if known:
            headers["If-Range"] = known
    else:
        done = 0
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout_s) as response:
        is_rest = response.status == http.HTTPStatus.PARTIAL_CONTENT
        done = done if is_rest else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        tag.write_text(_strong_tag(response), encoding="utf-8")
        with part.open("ab" if is_rest else "wb") as file:
            _copy(response, file, done, total, progress)
    return total


def _copy(response: Any, file: IO[bytes], done: int, total: int | None, progress: Progress | None) -> None:
    if progress is not None:
        progress(done, total)
    while chunk := response.read(_CHUNK_BYTES):
        file.write(chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, total)
    file.flush()
    os.fsync(file.fileno())


def _strong_tag(response: Any) -> str:
    """The tag that identifies this version of the file to the byte; empty for a weak tag, which does not."""
    tag = response.headers.get("ETag") or ""
    return "" if tag.startswith("W/") else tag


def _check(part: Path, url: str, num_bytes: int | None, checksum: str | None) -> None:
    """Refuse a file of the wrong size or checksum; a file that is too short is kept, so that it can be resumed."""
    size = _size(part)
    if num_bytes is not None and size < num_bytes:
        raise PretrainedError(
            f"'{url}' was interrupted after {size} of {num_bytes} bytes; try again, which resumes there"
        )
    if num_bytes is not None and size > num_bytes:
        _forget(part)
        raise PretrainedError(f"'{url}' sent {size} bytes instead of {num_bytes}; try again later")
    if checksum is None:
        return
    algorithm, _, digest = checksum.partition(":")
    with part.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    if found != digest:
        _forget(part)
        raise PretrainedError(
            f"'{url}' sent a file whose {algorithm} is {found} instead of {digest}: it was damaged on the way and has "
            "been deleted; try again"
        )


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
