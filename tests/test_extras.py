"""A missing package is named with the extra that installs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio_dcls.errors import ModelError
from audio_dcls.extras import need_package


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"needs not_a_package\.part, .*pip install 'audio-dcls\[onnx\]'"):
        need_package("not_a_package.part", "onnx", ModelError)
    (tmp_path / "needs_another.py").write_text("import not_a_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_a_package"):  # a fault of the package, not of the extra
        need_package("needs_another", "onnx")
