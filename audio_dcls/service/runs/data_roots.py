"""Limit the files that a config sent over HTTP can make a run read to the folders that the operator named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from audio_dcls.errors import ConfigError

_LOCAL_SCHEMES = ("file", "local")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
"""One slash is enough, because `Path("s3://bucket")` loses the other."""
_STORE_NAME = re.compile(r"[^?#:%\\\x00-\x1f]+")
"""A name in an object store; it cannot start a query or chain addresses (`simplecache::`)."""


class DataRoots:
    """Folders and addresses that runs may read.

    Args:
        named: the operator's folders, which need not exist, and addresses such as `s3://bucket/prefix`.
        own: folders of the service itself; messages do not name them.
    """

    def __init__(self, named: Iterable[str | Path], own: Iterable[Path] = ()) -> None:
        self.folders: list[Path] = []
        self.addresses: list[str] = []
        for root in map(str, named):
            address = _as_address(root)
            if address is None:
                self.folders.append(_without_scheme(root).resolve())
            else:
                self.addresses.append(address.rstrip("/"))
        self.own = [folder.resolve() for folder in own]

    def allowed(self, key: str, value: str) -> str:
        """The absolute path, or the address, for a value of a config.

        Symbolic links are resolved before the path is checked. A relative path is looked up in each root in turn.

        Args:
            key: the value's key in the config, for messages.
            value: a path or address.

        Raises:
            ConfigError: the path is outside all roots, or does not exist.
        """
        address = _as_address(value)
        if address is not None:
            if self._has_address(address):
                return address
            raise ConfigError(self._refusal(key, value))
        try:
            return str(self._local(key, value))
        except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, a null byte
            raise ConfigError(self._refusal(key, value)) from error

    def holds(self, path: Path) -> bool:
        """True if a path is inside a local root after its links are resolved."""
        real = path.resolve()
        return any(real.is_relative_to(root) for root in (*self.folders, *self.own))

    def _local(self, key: str, value: str) -> Path:
        path = _without_scheme(value)
        roots = [*self.folders, *self.own]
        if path.is_absolute():
            real = path.resolve()
            inside = [real] if any(real.is_relative_to(root) for root in roots) else []
        else:
            found = [(root / path).resolve() for root in roots]
            inside = [real for real, root in zip(found, roots, strict=True) if real.is_relative_to(root)]
        if not inside:
            raise ConfigError(self._refusal(key, value))
        present = [real for real in inside if real.exists()]
        if not present:
            message = f"`{key}` (={value!r}) does not exist in the folders that runs may read: {self._names()}"
            raise ConfigError(f"{message}; check the name")
        return present[0]

    def _has_address(self, address: str) -> bool:
        parts = address.partition("://")[2].split("/")
        if _STORE_NAME.fullmatch("/".join(parts)) is None or {".", ".."} & set(parts):
            return False
        return any(address == root or address.startswith(f"{root}/") for root in self.addresses)

    def _refusal(self, key: str, value: str) -> str:
        shown = value if len(value) <= 200 else f"{value[:200]}…"
        return (
            f"`{key}` (={shown!r}) must be inside a folder that runs may read: {self._names()}; move it there, or ask "
            "the operator to add its folder to the setting `data_roots`"
        )

    def _names(self) -> str:
        return ", ".join([*map(str, self.folders), *self.addresses]) or "there is no such folder yet"


def _as_address(text: str) -> str | None:
    """An address in its usual form; None for a path on this machine.

    >>> _as_address("s3:/bucket/pack"), _as_address("/data/s3"), _as_address("file:///data")
    ('s3://bucket/pack', None, None)
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return text if "::" in text or "://" in text else None
    scheme, rest = match[1].lower(), match[2]
    return None if scheme in _LOCAL_SCHEMES else f"{scheme}://{rest}"


def _without_scheme(text: str) -> Path:
    """A local path without `file://`.

    >>> _without_scheme("file:///data"), _without_scheme("data")
    (PosixPath('/data'), PosixPath('data'))
    """
    match = _ADDRESS.fullmatch(text)
    return Path(text) if match is None or match[1].lower() not in _LOCAL_SCHEMES else Path("/") / match[2]
