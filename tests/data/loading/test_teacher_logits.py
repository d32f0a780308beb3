"""A teacher's logits, from each of the three kinds of file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch

from audio_dcls.data.loading.teacher_logits import TeacherWriter, load_teacher
from audio_dcls.errors import ConfigError

IDS = ("a", "b", "ü", "d")
LOGITS = np.arange(12, dtype=np.float32).reshape(4, 3) - 5


def write(path: Path, ids: tuple[str, ...] = IDS, logits: np.ndarray = LOGITS) -> Path:
    if path.suffix in (".h5", ".hdf5"):
        with TeacherWriter(path, logits.shape[1]) as writer:
            for start in range(0, len(ids), 3):
                writer.write(ids[start : start + 3], logits[start : start + 3])
        return path
    table = pa.table({"id": list(ids), "more": list(ids), "logits": list(logits)})
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table, max_chunksize=2)
    return path


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".parquet", ".arrow", ".feather"])
def test_clips_find_their_logits_and_unknown_ones_have_none(suffix: str, tmp_path: Path) -> None:
    teacher = load_teacher(write(tmp_path / f"t{suffix}"), ["d", "nobody", "ü", "a"], 3)
    assert teacher.coverage == 0.75
    logits, known = teacher.lookup(torch.tensor([1, 2, 0, 2]))
    assert known.tolist() == [False, True, True, True]
    assert logits.dtype == torch.float32
    np.testing.assert_array_equal(logits.numpy(), np.stack([np.zeros(3), LOGITS[2], LOGITS[3], LOGITS[2]]))


def test_half_precision_is_kept_in_memory_and_widened_for_use(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["ids"], file["logits"] = list(IDS), LOGITS.astype(np.float16)
    teacher = load_teacher(tmp_path / "t.h5", IDS, 3)
    assert teacher.logits.dtype == torch.float16
    assert torch.equal(teacher.lookup(torch.arange(4))[0], torch.from_numpy(LOGITS))


def test_mistakes_are_named(tmp_path: Path) -> None:
    def refuse(expected: str, path: Path, ids: tuple[str, ...] = IDS) -> None:
        with pytest.raises(ConfigError, match=rf"`distillation\.file` .*{expected}"):
            load_teacher(path, ids, 3)

    refuse("does not exist", tmp_path / "none.h5")
    refuse(r"must end in one of \.h5", write(tmp_path / "t.h5").rename(tmp_path / "t.npz"))
    refuse("has logits of 2 classes, not 3", write(tmp_path / "narrow.parquet", logits=LOGITS[:, :2].copy()))
    refuse("has no logits of the 2 training clips, such as 'x'", write(tmp_path / "t.h5"), ("x", "y"))
    refuse("holds a clip twice, around 'a'", write(tmp_path / "twice.h5", ids=("a", "b", "a", "d")))
    bad = LOGITS.copy()
    bad[1, 2] = np.nan
    refuse("logits of clip 'b' that are not finite", write(tmp_path / "nan.feather", logits=bad))
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    refuse(r"cannot be read as \.h5", tmp_path / "text.h5")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["ids"] = list(IDS)
    refuse(r"cannot be read as \.h5", tmp_path / "empty.h5")
