"""The path of the slow reference models, and a file server that can resume and can break connections."""

from __future__ import annotations

import hashlib
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))


class FileServer:
    """Files over HTTP on this machine, with records as Zenodo lists them.

    Attributes:
        files: path -> content.
        breaks: bytes after which each of the next answers ends.
        has_ranges: whether it sends parts of a file.
        has_tags: whether it names versions of a file.
        fault: status of every answer, where it is not 0.
        requests: (path, Range header) of every request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.breaks: list[int] = []
        self.has_ranges = self.has_tags = True
        self.fault = 0
        self.requests: list[tuple[str, str | None]] = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def add_record(self, record: int, name: str, content: bytes, **listed: Any) -> None:
        entry = {"key": name, "size": len(content), "checksum": f"md5:{hashlib.md5(content).hexdigest()}"}
        self.files[f"/api/records/{record}"] = json.dumps({"files": [entry | listed]}).encode()
        self.files[f"/records/{record}/files/{name}"] = content

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.headers["Range"]
        self.requests.append((handler.path, asked))
        content = self.files.get(handler.path)
        if content is None or self.fault:
            handler.send_error(self.fault or 404)
            return
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        start = 0
        if asked and self.has_ranges and handler.headers["If-Range"] in (None, tag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                handler.send_error(416)
                return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.has_tags:
            handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        is_file = not handler.path.startswith("/api/")
        most = self.breaks.pop(0) if self.breaks and is_file else len(content)
        handler.wfile.write(content[start : start + most])


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.stop()
