"""Files that are damaged, or that another program wrote, are refused with the file and the remedy."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from audio_dcls.errors import CheckpointError
from audio_dcls.inference.backends.exported_file import load_exported
from audio_dcls.inference.backends.graph_info import GraphInfo


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    (tmp_path / "a.xml").write_text("<net/>")
    with pytest.raises(CheckpointError, match=r"a\.onnx' cannot be loaded by ONNX Runtime"):
        load_exported(tmp_path / "a.onnx")
    with pytest.raises(CheckpointError, match=r"b\.onnx' does not exist"):
        load_exported(tmp_path / "b.onnx")
    with pytest.raises(CheckpointError, match=r"a\.bin' does not exist; an \.xml and its \.bin"):
        load_exported(tmp_path / "a.xml")
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"a\.xml' cannot be loaded by OpenVINO"):
        load_exported(tmp_path / "a.xml")
    made = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "foreign",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    opset = onnx.helper.make_opsetid("", 20)
    onnx.save(onnx.helper.make_model(made, opset_imports=[opset], ir_version=9), tmp_path / "foreign.onnx")
    with pytest.raises(CheckpointError, match="was not written by `audio-dcls export`"):
        load_exported(tmp_path / "foreign.onnx")
    with pytest.raises(CheckpointError, match=r"format 9, this program reads up to 1"):
        GraphInfo.from_json('{"graph_version": 9}', "graph.onnx")
