"""Records of positions on disk are the same as in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from audio_dcls.dcls import DclsConv2d
from audio_dcls.dcls.history import PositionHistory
from audio_dcls.dcls.history_files import drop_records_after, read_history, write_record
from audio_dcls.errors import ArgumentError


def model() -> nn.Sequential:
    return nn.Sequential(DclsConv2d(4, 4, 3, (7, 9), groups=4), nn.ReLU(), DclsConv2d(4, 4, 2, 5, groups=4))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    net, kept = model(), PositionHistory()
    for step in (0, 3, 20):
        kept.record(net, step)
        write_record(tmp_path / "positions", net, step)
        with torch.no_grad():
            net[0].positions += 0.5  # type: ignore[operator]
    found = read_history(tmp_path / "positions")
    assert found.steps == [0, 3, 20]
    assert found.names == kept.names == ["0", "2"]
    for key, tensor in kept.tensors().items():
        assert torch.equal(found.tensors()[key], tensor)
    drop_records_after(tmp_path / "positions", 3)
    assert read_history(tmp_path / "positions").steps == [0, 3]


def test_a_model_without_dcls_writes_nothing(tmp_path: Path) -> None:
    assert write_record(tmp_path / "positions", nn.Conv2d(1, 1, 3), 0) is None
    assert not (tmp_path / "positions").exists()
    assert read_history(tmp_path / "positions").steps == []


def test_damage_and_other_models_are_named(tmp_path: Path) -> None:
    write_record(tmp_path, model(), 0)
    write_record(tmp_path, nn.Sequential(DclsConv2d(4, 4, 3, 7, groups=4)), 1)
    with pytest.raises(ArgumentError, match="step 1 is from another model"):
        read_history(tmp_path)
    (tmp_path / "step-00000001.safetensors").write_bytes(b"x")
    with pytest.raises(ArgumentError, match=r"step-00000001\.safetensors.* is not a record"):
        read_history(tmp_path)
