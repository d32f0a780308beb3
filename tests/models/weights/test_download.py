"""Downloads from a server of the tests: complete, interrupted, resumed, changed, damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from audio_dcls.errors import PretrainedError
from audio_dcls.models.weights.download import MAX_ATTEMPTS, download

if TYPE_CHECKING:
    from conftest import FileServer

CONTENT = bytes(range(256)) * 4000
"""Four chunks of a download."""
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def address(file_server: FileServer) -> str:
    file_server.files["/a.pth"] = CONTENT
    return f"{file_server.url}/a.pth"


def left_part(folder: Path, content: bytes, tag: str | None) -> Path:
    part = folder / ".a.pth.part"
    part.write_bytes(content)
    if tag is not None:
        (folder / ".a.pth.part.etag").write_text(tag)
    return part


def tag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()}"'


def test_a_file_comes_whole_and_is_counted(address: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download(address, tmp_path / "deep" / "a.pth", checksum=SHA256, progress=lambda *now: seen.append(now))
    assert path.read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert [file.name for file in path.parent.iterdir()] == ["a.pth"]


def test_broken_connections_are_resumed(address: str, file_server: FileServer, tmp_path: Path) -> None:
    file_server.breaks = [300_000, 1, 400_000]
    assert download(address, tmp_path / "a.pth").read_bytes() == CONTENT
    starts = [asked for _, asked in file_server.requests]
    assert starts == [None, "bytes=300000-", "bytes=300001-", "bytes=700001-"]


def test_a_later_call_resumes_where_one_gave_up(address: str, file_server: FileServer, tmp_path: Path) -> None:
    file_server.breaks = [1000] * MAX_ATTEMPTS
    with pytest.raises(PretrainedError, match=rf"after {1000 * MAX_ATTEMPTS} of {len(CONTENT)} bytes; try again"):
        download(address, tmp_path / "a.pth")
    assert not (tmp_path / "a.pth").exists()
    seen: list[int] = []
    download(address, tmp_path / "a.pth", progress=lambda done, total: seen.append(done))
    assert seen[0] == 1000 * MAX_ATTEMPTS
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_starts_again(address: str, file_server: FileServer, tmp_path: Path) -> None:
    left_part(tmp_path, b"x" * 5000, tag_of(b"the older file"))
    assert download(address, tmp_path / "a.pth").read_bytes() == CONTENT
    assert file_server.requests == [("/a.pth", "bytes=5000-")]


def test_without_a_tag_a_part_is_trusted_only_with_a_checksum(
    address: str, file_server: FileServer, tmp_path: Path
) -> None:
    file_server.has_tags = False
    left_part(tmp_path, CONTENT[:5000], None)
    assert download(address, tmp_path / "a.pth", checksum=SHA256).read_bytes() == CONTENT
    left_part(tmp_path, CONTENT[:5000], None)
    download(address, tmp_path / "a.pth")
    assert [asked for _, asked in file_server.requests] == ["bytes=5000-", None]


def test_a_server_that_cannot_resume_sends_all(address: str, file_server: FileServer, tmp_path: Path) -> None:
    file_server.has_ranges = False
    left_part(tmp_path, CONTENT[:5000], tag_of(CONTENT))
    assert download(address, tmp_path / "a.pth").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_starts_again(address: str, tmp_path: Path) -> None:
    left_part(tmp_path, CONTENT + b"more", tag_of(CONTENT))
    assert download(address, tmp_path / "a.pth").read_bytes() == CONTENT


def test_what_is_not_what_it_should_be_is_refused(address: str, file_server: FileServer, tmp_path: Path) -> None:
    md5 = hashlib.md5(b"another").hexdigest()
    with pytest.raises(PretrainedError, match=f"md5 is .* instead of {md5}.*deleted; try again"):
        download(address, tmp_path / "a.pth", checksum=f"md5:{md5}")
    with pytest.raises(PretrainedError, match=f"sent {len(CONTENT)} bytes instead of 10"):
        download(address, tmp_path / "a.pth", num_bytes=10)
    with pytest.raises(PretrainedError, match=f"was interrupted after {len(CONTENT)} of {len(CONTENT) + 1}"):
        download(address, tmp_path / "a.pth", num_bytes=len(CONTENT) + 1)
    assert not (tmp_path / "a.pth").exists()
    with pytest.raises(PretrainedError, match=r"b\.pth' answers 404"):
        download(f"{file_server.url}/b.pth", tmp_path / "b.pth")
    file_server.fault = 429
    with pytest.raises(PretrainedError, match=r"answers 429 Too Many Requests; try again later"):
        download(address, tmp_path / "a.pth")


def test_no_network_says_so(tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match=r"cannot be reached .*check the network and try again"):
        download("http://127.0.0.1:9/a.pth", tmp_path / "a.pth")
