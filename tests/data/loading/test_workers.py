"""Workers that die or that an error leaves: one message, and the program ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_dcls.data.loading.loader import eval_loader
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import RunError

RATE_HZ = 8000
DIES_AT = 5


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for index in range(8):
        soundfile.write(folder / f"{index}.wav", 0.2 * rng.standard_normal(2000), RATE_HZ)
    return [Clip(f"clip{index}", folder / f"{index}.wav", None, None, (0,), "train") for index in range(8)]


class DyingDataset(ClipDataset):
    """A worker that loads clip 5 ends by a signal."""

    signal = signal.SIGKILL

    def _waveform(self, index: int, clip: Clip) -> np.ndarray:
        if index == DIES_AT:
            if self.signal != signal.SIGKILL:
                signal.signal(self.signal, signal.SIG_DFL)
            os.kill(os.getpid(), self.signal)
            time.sleep(60)
        return super()._waveform(index, clip)


def dataset(clips: list[Clip], kind: type[ClipDataset]) -> ClipDataset:
    return kind(clips, num_classes=1, sample_rate_hz=RATE_HZ, clip_samples=2000)


@pytest.mark.parametrize(
    ("name", "remedy"), [("SIGKILL", "memory probably ran out"), ("SIGBUS", "/dev/shm"), ("SIGSEGV", "convert it")]
)
def test_a_dead_worker_is_named_with_its_clip_and_its_remedy(
    clips: list[Clip], name: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DyingDataset, "signal", getattr(signal, name))
    others = set(multiprocessing.active_children())
    loader = eval_loader(dataset(clips, DyingDataset), 1, 2)
    with pytest.raises(RunError) as caught:
        list(loader)
    text = str(caught.value)
    assert f"was ended by {name} while it loaded clip 'clip5' from '{clips[DIES_AT].path}'" in text
    assert remedy in text and "of 2" in text
    assert set(multiprocessing.active_children()) <= others


PROGRAM = """
import sys
from pathlib import Path
from audio_dcls.data.loading.loader import train_loader
from audio_dcls.data.loading.sampler import StepBatchSampler
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.table.clip import Clip
clips = [Clip(f"clip{n}", Path(sys.argv[1]) / f"{n}.wav", None, None, (0,), "train") for n in range(8)]
data = ClipDataset(clips, num_classes=1, sample_rate_hz=8000, clip_samples=2000)
loader = train_loader(data, StepBatchSampler(8, 4, 2, 1, 0, 400), 2)
for batch in loader:
    raise KeyError("boom")
"""


def test_a_program_with_an_error_ends_although_its_workers_ignore_signals(clips: list[Clip]) -> None:
    folder = Path(clips[0].path).parent
    ended = subprocess.run([sys.executable, "-c", PROGRAM, folder], capture_output=True, text=True, timeout=240)
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("KeyError: 'boom'")
