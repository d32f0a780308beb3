"""Claim: a loader worker delivers clips several times as fast as published loaders do per item.

Synthetic sounds of 10 s, 44.1 kHz, stereo are written in each codec as single files, as an HDF5 file in the layout of
PANNs, and packed. Each source is read as in a worker of `ClipDataset` (decoded, mixed down, resampled, checked,
fitted), on one core, with and without the spectrogram. In the same rounds the steps of published loaders per item are
measured: `librosa.load` of the original at 32 kHz, then the mel on the CPU (torchaudio's, the faster of the two usual
ones). Times are processor time, so that other processes do not count. Files are in the page cache; disk or network time
would be added for all of them.

AAC in an MP4 file, through PyAV, has no peer: librosa does not read it.

It writes loader.json and loader.md, with the number of cores that GPUs with certain rates need; it needs the `test`
extra:

    python benchmarks/loader.py
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import h5py
import librosa
import numpy as np
import soundfile
import soxr
import torch
import torchaudio

from audio_dcls.data.demo.scene import draw_recording, render
from audio_dcls.data.demo.signals import num_samples_of
from audio_dcls.data.demo.sounds import demo_labels
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.data.packing.packer import pack
from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.sound.decode import read_clip
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.table.clip import Clip
from audio_dcls.frontend import FrontendConfig, build_frontend
from audio_dcls.speed.machine import describe_machine
from audio_dcls.speed.report import Contender, Ratio
from audio_dcls.speed.timing import time_interleaved
from bench_tools.results import RESULTS, argument_parser, results_heading, verdict, write_results

CLIP_S = 10.0
ORIGINAL_RATE_HZ = 44_100
OPUS_RATE_HZ = 48_000  # the codec does not support 44.1 kHz
FRONTEND = FrontendConfig()
ORIGINALS = {
    "wav": ("wav", "WAV", "PCM_16"),
    "flac": ("flac", "FLAC", "PCM_16"),
    "vorbis": ("ogg", "OGG", "VORBIS"),
    "opus": ("opus", "OGG", "OPUS"),
    "mp3": ("mp3", "MP3", "MPEG_LAYER_III"),
}
AAC_FRAME_SAMPLES = 1024
PACKED = (Codec.flac, Codec.pcm16, Codec.opus)
MEL = " + mel"
TARGETS = (("packed flac", "librosa wav + mel", 5.0), ("packed pcm16", "librosa wav + mel", 15.0))
MEL_TARGETS = tuple((f"packed {codec}{MEL}", "librosa wav + mel", 2.0) for codec in ("flac", "pcm16"))
GPU_RATES = (250, 500, 1000, 2500)


def make_sounds(num_clips: int) -> list[np.ndarray]:
    """Stereo sounds of the demo generator, (T, 2) float32 at 44.1 kHz."""
    sounds = []
    for index in range(num_clips):
        rng = np.random.default_rng(index)
        recording = dataclasses.replace(
            draw_recording(rng),
            num_samples=num_samples_of(CLIP_S),
            sample_rate_hz=ORIGINAL_RATE_HZ,
            num_channels=2,
        )
        labels = rng.choice(len(demo_labels()), size=2, replace=False).tolist()
        sounds.append(render(labels, recording, rng))
    return sounds


def write_originals(folder: Path, sounds: Sequence[np.ndarray], codec: str) -> list[Path]:
    """One file per sound, written second by second: libsndfile's encoders fail on long writes."""
    suffix, container, subtype = ORIGINALS[codec]
    paths = []
    for index, sound in enumerate(sounds):
        rate_hz = ORIGINAL_RATE_HZ
        if codec == "opus":
            sound, rate_hz = soxr.resample(sound, ORIGINAL_RATE_HZ, OPUS_RATE_HZ), OPUS_RATE_HZ
        path = folder / f"{codec}{index}.{suffix}"
        with soundfile.SoundFile(path, "w", rate_hz, 2, subtype=subtype, format=container) as file:
            for first in range(0, len(sound), rate_hz):
                file.write(sound[first : first + rate_hz])
        paths.append(path)
    return paths


def write_videos(folder: Path, sounds: Sequence[np.ndarray]) -> list[Path]:
    """One MP4 file per sound, AAC at 44.1 kHz, as in most copies of AudioSet."""
    paths = []
    for index, sound in enumerate(sounds):
        path = folder / f"aac{index}.m4a"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=ORIGINAL_RATE_HZ)
            stream.layout = "stereo"
            for first in range(0, len(sound), AAC_FRAME_SAMPLES):
                part = np.ascontiguousarray(sound[first : first + AAC_FRAME_SAMPLES].T, dtype=np.float32)
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = ORIGINAL_RATE_HZ, first
                frame.time_base = Fraction(1, ORIGINAL_RATE_HZ)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        paths.append(path)
    return paths


def write_hdf5(path: Path, originals: Sequence[Path]) -> Path:
    """The layout of PANNs: int16 rows at 32 kHz, names, and a row of targets per clip."""
    waveforms = [read_clip(original, sample_rate_hz=FRONTEND.sample_rate_hz) for original in originals]
    rows = np.stack([np.resize(waveform, FRONTEND.clip_samples) for waveform in waveforms])
    target = np.zeros((len(rows), len(demo_labels())), dtype=bool)
    target[:, 0] = True
    with h5py.File(path, "w") as file:
        file["audio_name"] = np.array([f"clip{index}.wav".encode() for index in range(len(rows))])
        file["waveform"] = np.clip(np.rint(rows * 32_767), -32_768, 32_767).astype(np.int16)
        file["target"] = target
        file.attrs["sample_rate"] = FRONTEND.sample_rate_hz
    return path


def manifest_of(paths: Sequence[Path]) -> Manifest:
    clips = [Clip(f"clip{index}", path.absolute(), None, None, (0,), "train") for index, path in enumerate(paths)]
    return Manifest(clips, demo_labels(), "made sounds")


def dataset_of(manifest: Manifest) -> ClipDataset:
    return ClipDataset(
        manifest.clips,
        num_classes=len(demo_labels()),
        sample_rate_hz=FRONTEND.sample_rate_hz,
        clip_samples=FRONTEND.clip_samples,
    )


def our_calls(name: str, manifest: Manifest) -> dict[str, Callable[[], object]]:
    """Calls that read all clips of a source as a worker does, without and with the spectrogram."""
    dataset, frontend = dataset_of(manifest), build_frontend(FRONTEND)

    def read() -> list[torch.Tensor]:
        samples = [dataset[(0, index)] for index in range(len(dataset))]
        failed = [sample["failure"].message for sample in samples if "failure" in sample]
        if failed:
            raise RuntimeError(failed[0])
        return [sample["waveform"] for sample in samples if "waveform" in sample]

    def read_mel() -> None:
        with torch.inference_mode():
            for waveform in read():
                frontend(waveform[None])

    return {name: read, name + MEL: read_mel}


def published_calls(codec: str, paths: Sequence[Path]) -> dict[str, Callable[[], object]]:
    """Calls that do the work of published loaders."""
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate=FRONTEND.sample_rate_hz,
        n_fft=FRONTEND.fft_size,
        hop_length=FRONTEND.hop_samples,
        n_mels=FRONTEND.num_mels,
        f_min=FRONTEND.low_hz,
        f_max=FRONTEND.high_hz,
    )
    to_db = torchaudio.transforms.AmplitudeToDB()

    def load() -> list[np.ndarray]:
        return [librosa.load(path, sr=FRONTEND.sample_rate_hz)[0] for path in paths]

    def load_mel() -> None:
        with torch.inference_mode():
            for waveform in load():
                to_db(mel(torch.from_numpy(waveform)))

    return {f"librosa {codec}": load, f"librosa {codec}{MEL}": load_mel}


def build_calls(folder: Path, num_clips: int) -> dict[str, Callable[[], object]]:
    """Calls for every source and codec, ours and the published ones."""
    sounds = make_sounds(num_clips)
    originals = {codec: write_originals(folder, sounds, codec) for codec in ORIGINALS}
    calls: dict[str, Callable[[], object]] = {}
    for codec, paths in originals.items():
        calls |= our_calls(f"file {codec}", manifest_of(paths))
        calls |= published_calls(codec, paths)
    calls |= our_calls("file m4a", manifest_of(write_videos(folder, sounds)))
    calls |= our_calls(
        "hdf5 int16", load_manifest(write_hdf5(folder / "clips_train.h5", originals["wav"]), demo_labels())
    )
    for codec in PACKED:
        out = folder / f"packed-{codec.value}"
        pack(manifest_of(originals["wav"]), out, PackSettings(codec=codec))
        calls |= our_calls(f"packed {codec.value}", load_manifest(out, demo_labels()))
    return calls


def versions() -> dict[str, str]:
    names = ("numpy", "librosa", "torchaudio", "soundfile", "soxr", "av", "miniaudio", "h5py", "pyarrow")
    return {name: importlib.metadata.version(name) for name in names} | {"libsndfile": soundfile.__libsndfile_version__}


def tables(contenders: dict[str, Contender], gpu_rates: Sequence[int]) -> str:
    """The results as Markdown."""
    ours = [name for name in contenders if not name.endswith(MEL) and not name.startswith("librosa")]
    lines = [
        "| source | ms per clip (quartiles) | clips/s per core | librosa wav + mel ÷ ours | librosa flac + mel ÷ ours "
        "| librosa wav + mel ÷ ours + mel |",
        "|---|---|---|---|---|---|",
    ]
    for name in ours:
        one = contenders[name]
        ratios = [
            Ratio.of(contenders["librosa wav + mel"], one),
            Ratio.of(contenders["librosa flac + mel"], one),
            Ratio.of(contenders["librosa wav + mel"], contenders[name + MEL]),
        ]
        low, high = one.quartiles
        cells = " | ".join(f"{ratio.median:.3g}× ({ratio.low:.3g} – {ratio.high:.3g})" for ratio in ratios)
        lines.append(f"| {name} | {one.median:.2f} ({low:.2f} – {high:.2f}) | {1000 / one.median:.0f} | {cells} |")
    lines += ["", "| published, per item | ms per clip (quartiles) | with the mel |", "|---|---|---|"]
    for codec in ORIGINALS:
        cells = []
        for name in (f"librosa {codec}", f"librosa {codec}{MEL}"):
            low, high = contenders[name].quartiles
            cells.append(f"{contenders[name].median:.1f} ({low:.1f} – {high:.1f})")
        lines.append(f"| librosa.load of {codec} | {' | '.join(cells)} |")
    lines += ["", "| target | median | quartiles | |", "|---|---|---|---|"]
    for name, published, target in (*TARGETS, *MEL_TARGETS):
        ratio = Ratio.of(contenders[published], contenders[name])
        claim, shown = f"{published} ÷ {name} ≥ {target:g}", verdict(ratio.median, "≥", target)
        lines.append(f"| {claim} | {ratio.median:.3g} | {ratio.low:.3g} – {ratio.high:.3g} | {shown} |")
    lines += ["", "Cores needed to supply a GPU at these rates, by the medians:", ""]
    lines.append("| source | " + " | ".join(f"{rate} clips/s" for rate in gpu_rates) + " |")
    lines.append("|---" * (len(gpu_rates) + 1) + "|")
    for name in ours:
        cells = " | ".join(f"{rate * contenders[name].median / 1000:.1f}" for rate in gpu_rates)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds")
    parser.add_argument("--clips", type=int, default=8, help="different sounds of each source")
    parser.add_argument("--gpu-rates", type=int, nargs="+", default=GPU_RATES, help="rates of GPUs, in clips/s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder to write to")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        calls = build_calls(Path(folder), args.clips)
        times_ms = time_interleaved(calls, args.rounds, torch.device("cpu"), clock=time.process_time)
    contenders = {
        name: Contender(name, tuple(value / args.clips for value in values)) for name, values in times_ms.items()
    }
    machine = describe_machine(torch.device("cpu"))
    report: dict[str, Any] = {
        "benchmark": "loader",
        "machine": {**machine, "versions": machine["versions"] | versions()},
        "settings": {"rounds": args.rounds, "clips": args.clips, "clip_s": CLIP_S, "rate_hz": FRONTEND.sample_rate_hz},
        "ms_per_clip": {
            name: {"median": one.median, "quartiles": one.quartiles, "rounds": one.values}
            for name, one in contenders.items()
        },
        "targets": [
            {"subject": name, "published": published, "target": target}
            | dataclasses.asdict(Ratio.of(contenders[published], contenders[name]))
            for name, published, target in (*TARGETS, *MEL_TARGETS)
        ],
    }
    text = results_heading(__doc__ or "", report["machine"]) + tables(contenders, args.gpu_rates)
    write_results(args.out, report, text)


if __name__ == "__main__":
    main()
