"""Size and checksum of a file of a Zenodo record."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from audio_dcls.errors import PretrainedError

SITE = "https://zenodo.org"
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class RecordFile:
    """A file of a record; its size and checksum, such as "md5:...", are None if the record does not contain them."""

    url: str
    num_bytes: int | None
    checksum: str | None


def file_url(record: int, name: str, site: str = SITE) -> str:
    """Address of a file of a record.

    >>> file_url(8370979, "convnext_dcls_audio_tiny.pth")
    'https://zenodo.org/records/8370979/files/convnext_dcls_audio_tiny.pth'
    """
    return f"{site}/records/{record}/files/{name}"


def look_up(record: int, name: str, site: str = SITE) -> RecordFile:
    """Look up the size and the checksum of a file at Zenodo (developers.zenodo.org, "Records").

    A `PretrainedError` says that the record cannot be read, or has no such file.
    """
    url = f"{site}/api/records/{record}"
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            document: Any = json.load(response)
        files = {file["key"]: file for file in document["files"]}
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise PretrainedError(f"'{url}' cannot be reached ({reason}); check the network and try again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PretrainedError(
            f"'{url}' does not list the record's files in the known form; download "
            f"'{file_url(record, name, site)}' by hand"
        ) from error
    if name not in files:
        raise PretrainedError(f"'{url}' lists no '{name}', only {', '.join(files)}; the record has changed")
    size, checksum = files[name].get("size"), files[name].get("checksum")
    is_known = isinstance(checksum, str) and checksum.partition(":")[0] in ("md5", "sha256")
    return RecordFile(
        file_url(record, name, site), size if isinstance(size, int) else None, checksum if is_known else None
    )
