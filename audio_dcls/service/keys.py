"""API keys: a file of their hashes and scopes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from audio_dcls.errors import ArgumentError
from audio_dcls.files import write_atomically

SCOPES = ("tag", "train", "admin")
"""Scopes of a key: tag sounds; start, stop and delete runs; load, unload and delete models and read /metrics."""
_PREFIX = "adcls"


@dataclass(frozen=True)
class ApiKey:
    """The stored data of a key."""

    id: str
    name: str
    scopes: tuple[str, ...]
    sha256: str
    """The hash of the whole key. A key has 256 random bits, so a slow hash would add nothing."""
    created: str


class KeyFile:
    """Keys in a JSON file; a running service notices changes of the file at once.

    Args:
        path: the file; the first key creates it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_at: tuple[int, int] | None = None
        self._keys: tuple[ApiKey, ...] = ()
        self._lock = threading.Lock()

    def keys(self) -> tuple[ApiKey, ...]:
        """All keys, oldest first.

        Raises:
            ArgumentError: the file is damaged.
        """
        with self._lock:
            try:
                status = self.path.stat()
            except FileNotFoundError:
                self._read_at, self._keys = None, ()
                return ()
            if self._read_at != (status.st_mtime_ns, status.st_ino):
                self._keys = self._read()
                self._read_at = (status.st_mtime_ns, status.st_ino)
            return self._keys

    def add(self, name: str, scopes: Sequence[str]) -> str:
        """Make a key and return its text, which is not stored.

        Args:
            name: who will use the key.
            scopes: at least one of `SCOPES`.

        Raises:
            ArgumentError: the name is empty or too long, or a scope does not exist.
        """
        if not name.strip() or len(name) > 100:
            raise ArgumentError(f"`name` (={name!r}) must say who uses the key, in 1 to 100 characters")
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            shown = unknown[0] if unknown else ""
            raise ArgumentError(f"`scope` (={shown!r}) must be one of {', '.join(SCOPES)}; give at least one")
        identity = secrets.token_hex(4)
        text = f"{_PREFIX}_{identity}_{secrets.token_urlsafe(32)}"
        key = ApiKey(
            id=identity,
            name=name.strip(),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            sha256=_digest(text),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._write((*self.keys(), key))
        return text

    def revoke(self, identity: str) -> ApiKey:
        """Remove a key.

        Raises:
            ArgumentError: no key has this id.
        """
        keys = self.keys()
        found = [key for key in keys if key.id == identity]
        if not found:
            known = f"the ids are {', '.join(key.id for key in keys)}" if keys else "there are no keys"
            raise ArgumentError(f"`id` (={identity!r}) is not the id of a key; {known}")
        self._write(tuple(key for key in keys if key.id != identity))
        return found[0]

    def find(self, text: str) -> ApiKey | None:
        """The key with a text; None if it is unknown."""
        digest = _digest(text)
        found = None
        for key in self.keys():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def _read(self) -> tuple[ApiKey, ...]:
        try:
            documents = json.loads(self.path.read_text(encoding="utf-8"))
            return tuple(ApiKey(**{**document, "scopes": tuple(document["scopes"])}) for document in documents)
        except (ValueError, TypeError, KeyError) as error:
            message = f"'{self.path}' is not a file of API keys ({error}); move it away and make new keys"
            raise ArgumentError(message) from error

    def _write(self, keys: Sequence[ApiKey]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps([asdict(key) for key in keys], indent=2).encode())
        os.chmod(self.path, 0o600)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
