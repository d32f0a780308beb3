"""Which files a config that came over HTTP may have read: those in folders the operator named, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from audio_dcls.errors import ConfigError

LOCAL_SCHEMES = ("file", "local")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
"""One slash suffices: a `Path` made of `s3://bucket` has lost the other."""
_STORE_NAME = re.compile(r"[^?#:%\\\x00-\x1f]+")
"""Of an object store: nothing that starts a query or chains one address to another (`simplecache::`)."""


class DataRoots:
    """Folders and addresses that may be read.

    Args:
        named: by the operator; folders need not exist. Such as `s3://bucket/prefix` are addresses.
        own: folders of the service itself, which messages do not name.
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
        """The whole path or address that a value of a config means.

        Symbolic links are followed before the path is judged. A relative path is one inside a root: the first that has
        it.

        Args:
            key: of the config, for messages.
            value: path or address.

        Raises:
            ConfigError: it lies outside all roots, or is not there.
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
        """Whether a path, links followed, lies inside a local root."""
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
            raise ConfigError(
                f"`{key}` (={value!r}) does not exist in the folders that runs may read: {self._names()}; check "
                "the name"
            )
        return present[0]

    def _has_address(self, address: str) -> bool:
        parts = address.partition("://")[2].split("/")
        if _STORE_NAME.fullmatch("/".join(parts)) is None or {".", ".."} & set(parts):
            return False
        return any(address == root or address.startswith(f"{root}/") for root in self.addresses)

    def _refusal(self, key: str, value: str) -> str:
        shown = value if len(value) <= 200 else f"{value[:200]}…"
        return (
            f"`{key}` (={shown!r}) must lie inside a folder that runs may read: {self._names()}; put it there, or have "
            "the operator name its folder in the setting `data_roots`"
        )

    def _names(self) -> str:
        return ", ".join([*map(str, self.folders), *self.addresses]) or "none is named"


def _as_address(text: str) -> str | None:
    """An address in its usual form; None for what is a path on this machine.

    >>> _as_address("s3:/bucket/pack"), _as_address("/data/s3"), _as_address("file:///data")
    ('s3://bucket/pack', None, None)
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return text if "::" in text or "://" in text else None
    scheme, rest = match[1].lower(), match[2]
    return None if scheme in LOCAL_SCHEMES else f"{scheme}://{rest}"


def _without_scheme(text: str) -> Path:
    """A local path without `file://`.

    >>> _without_scheme("file:///data"), _without_scheme("data")
    (PosixPath('/data'), PosixPath('data'))
    """
    match = _ADDRESS.fullmatch(text)
    return Path(text) if match is None or match[1].lower() not in LOCAL_SCHEMES else Path("/") / match[2]
