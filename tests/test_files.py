"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from audio_dcls.files import CACHE_VARIABLE, cache_folder, file_sha256, path_remedy, replacing, write_atomically


def test_a_body_that_fails_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_atomically(target, b"old")

    def write_half() -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"missing/model\.safetensors'"):
        write_atomically(tmp_path / "missing" / "model.safetensors", b"x")


def test_the_digest_of_a_file_is_sha_256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_cache_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder().name == "audio-dcls"


@pytest.mark.skipif(os.sep != "/", reason="backslashes are right on Windows")
def test_a_path_with_backslashes_has_its_own_remedy() -> None:
    assert "write / instead" in path_remedy("C:\\sounds\\dog.wav")
    assert path_remedy("/sounds/dog.wav") == "check the path"
