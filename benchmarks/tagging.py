"""Claim: tagging is many times faster than its peers, starts about as fast as its libraries, and handles any length.

It measures, in one run, the time from a file on disk to its tags: our DCLS model in its backends and precisions, the
same model with 7x7 kernels, the authors' layers in timm's model, and PANNs' Cnn14, all with random weights and our
decoder; then the command's cold start against importing torch and timm, and its memory and time for an hour of 44.1 kHz
stereo against ten seconds. It writes tagging.json and tagging.md, takes about twenty minutes on an otherwise idle
machine, and needs the `bench`, `onnx` and `openvino` extras. `--parts NAME...` measures these parts again and keeps the
rest of the last run:

    python benchmarks/tagging.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from audio_dcls.errors import ArgumentError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inference import Tagger
from audio_dcls.inference.backends import BackendName, Precision
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint
from audio_dcls.speed import BenchReport, Case, Contender
from audio_dcls.speed.machine import describe_machine, measure_peaks
from audio_dcls.speed.report import ratios_of
from audio_dcls.speed.timing import time_interleaved
from bench_tools.command import measure_command
from bench_tools.results import RESULTS, argument_parser, report_footer, report_progress, verdict
from bench_tools.tagging_peers import TAGGING_PEERS, PeerBackend

PARTS = ("clip", "start", "hour")
RATE_HZ, CHANNELS, CLIP_S, BATCH = 44_100, 2, 10.0, 8
OURS: tuple[tuple[BackendName, Precision], ...] = (
    ("torch", "fp32"), ("torch", "bf16"), ("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"),
)  # fmt: skip
BACKENDS = tuple(dict.fromkeys(backend for backend, _ in OURS))
PEERS = (("authors", "fp32"), ("frozen", "fp32"), ("cnn14", "fp32"), ("cnn14", "bf16"))
IMPORT, TAG = "import torch, timm", "audio-dcls tag"
TARGETS = (
    ("clip", 1, "authors fp32", "dcls fp32", "≥", 60),
    ("clip", 1, "cnn14 fp32", "dcls fp32", "≥", 2.5),
    ("clip", 1, "cnn14 fp32", "dcls bf16", "≥", 4),
    ("clip", 1, "cnn14 bf16", "dcls bf16", "≥", 4),
    ("clip", 1, "dcls fp32", "7x7 fp32", "≤", 1.2),
    ("start", 1, TAG, IMPORT, "≤", 1.5),
)
MAX_GROWTH_MIB = 300e6 / 2**20


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds of each case")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--model", default="convnext_tiny", help="timm's name of the backbone")
    parser.add_argument("--backends", nargs="*", default=list(BACKENDS), choices=BACKENDS, help="backends of our model")
    parser.add_argument("--long-s", type=float, default=3600.0, help="length of the long file")
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS, help="parts to measure")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the two files")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "tagging.json"
    if args.parts:
        with tempfile.TemporaryDirectory() as folder:
            cases = measure(args, Path(folder))
        kept = BenchReport.load(path).cases if path.exists() else ()
        cases = [case for case in kept if case.suite not in args.parts] + cases
        cases.sort(key=lambda case: PARTS.index(case.suite))
        settings = {"num_rounds": args.rounds}
        device = torch.device("cpu")
        peaks = measure_peaks(device, ("fp32", "bf16"), args.rounds)
        BenchReport(describe_machine(device), settings, peaks, tuple(cases)).save(path)
    table = make_table(BenchReport.load(path))
    path.with_suffix(".md").write_text(table, encoding="utf-8")
    sys.stdout.write(table)


def measure(args: argparse.Namespace, folder: Path) -> list[Case]:
    """Measure the given parts."""
    files = {name: folder / f"{name}.safetensors" for name in ("dcls", "7x7")}
    for name, file in files.items():
        save_random(file, args.model, with_dcls=name == "dcls")
    cases = []
    if "clip" in args.parts:
        taggers, notes = make_taggers(files, args.model, args.backends)
        for num_clips in (1, BATCH):
            report_progress(f"clip: {num_clips}")
            sound = write_sound(folder / f"{num_clips}.wav", num_clips * CLIP_S)
            cases.append(measure_clips(taggers, sound, num_clips, args, notes))
        del taggers
    if "start" in args.parts:
        cases.append(measure_start(files["dcls"], write_sound(folder / "start.wav", CLIP_S), args))
    if "hour" in args.parts:
        cases += measure_hour(files["dcls"], folder, args)
    return cases


def save_random(path: Path, model_name: str, *, with_dcls: bool) -> None:
    """A checkpoint with random weights and AudioSet's classes."""
    torch.manual_seed(0)
    config = ModelConfig(name=model_name, dcls=DclsConfig() if with_dcls else None)
    labels = LabelSet.audioset()
    model = build_tagger(config, FrontendConfig(), len(labels))
    save_checkpoint(path, model, model_config=config, frontend_config=FrontendConfig(), labels=labels, info={})


def write_sound(path: Path, duration_s: float) -> Path:
    """Write noise that swells every few seconds, stereo, 16 bit."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE_HZ, CHANNELS, subtype="PCM_16") as file:
        left = round(duration_s * RATE_HZ)
        while left:
            num = min(left, 10 * RATE_HZ)
            level = 0.1 * (1 + np.sin(np.arange(num) * 2 / RATE_HZ))[:, None]
            file.write(level * rng.standard_normal((num, CHANNELS)).clip(-3, 3))
            left -= num
    return path


def make_taggers(
    files: Mapping[str, Path], model_name: str, backends: Sequence[str]
) -> tuple[dict[str, Tagger], tuple[str, ...]]:
    """The contenders by name, and notes about them and about missing ones."""
    frontend, labels = FrontendConfig(), LabelSet.audioset()
    taggers: dict[str, Tagger] = {}
    notes = [f"{name}: {text}" for name, text in TAGGING_PEERS.items()]
    for name, file in files.items():
        for backend, precision in OURS if name == "dcls" else OURS[:2]:
            if backend not in backends:
                continue
            title = f"{name} {precision}" if backend == "torch" else f"{name} {backend} {precision}"
            report_progress(f"load: {title}")
            try:
                taggers[title] = Tagger.load(file, backend=backend, precision=precision)
            except ArgumentError as error:
                notes.append(f"{title} is not available: {error}")
    for peer, precision in PEERS:
        report_progress(f"load: {peer} {precision}")
        try:
            backend = PeerBackend(peer, model_name, precision)
        except ArgumentError as error:
            notes.append(f"{peer} is not available: {error}")
            continue
        taggers[f"{peer} {precision}"] = Tagger(
            backend, labels, sample_rate_hz=frontend.sample_rate_hz, clip_samples=frontend.clip_samples
        )
    return taggers, tuple(notes)


def measure_clips(
    taggers: Mapping[str, Tagger], sound: Path, num_clips: int, args: argparse.Namespace, notes: tuple[str, ...]
) -> Case:
    """Measure from file to tags: a sound of `num_clips` clips, which go through the model in one batch."""
    calls = {name: (lambda tagger=tagger: tagger.tag(sound)) for name, tagger in taggers.items()}
    times_ms = time_interleaved(calls, args.rounds, torch.device("cpu"))
    contenders = tuple(Contender(name, tuple(values)) for name, values in times_ms.items())
    pairs = [(a, b) for suite, _, a, b, _, _ in TARGETS if suite == "clip"]
    pairs += [("dcls bf16", "7x7 bf16"), ("frozen fp32", "dcls fp32")]
    pairs += [("dcls fp32", f"dcls {name}") for name in ("bf16", "onnx fp32", "openvino fp32", "openvino bf16")]
    return Case("clip", args.model, num_clips, "ms", contenders, ratios_of(contenders, pairs), notes)


def measure_start(checkpoint: Path, sound: Path, args: argparse.Namespace) -> Case:
    """Measure the whole command for one clip against importing the libraries that it needs."""
    commands = {IMPORT: [sys.executable, "-c", IMPORT], TAG: tag_command(checkpoint, sound)}
    values: dict[str, list[float]] = {name: [] for name in commands}
    for round_index in range(-1, args.rounds):
        report_progress(f"start: round {round_index}")
        for name in sorted(commands, reverse=round_index % 2 == 0):
            cost = measure_command(commands[name])
            if round_index >= 0:
                values[name].append(1000 * cost.wall_s)
    contenders = tuple(Contender(name, tuple(times_ms)) for name, times_ms in values.items())
    return Case("start", args.model, 1, "ms", contenders, ratios_of(contenders, [(TAG, IMPORT)]))


def measure_hour(checkpoint: Path, folder: Path, args: argparse.Namespace) -> list[Case]:
    """Measure memory and time of the command, for ten seconds and for an hour."""
    costs = {}
    for duration_s in (CLIP_S, args.long_s):
        name = f"{duration_s:g} s"
        report_progress(f"hour: {name}")
        sound = write_sound(folder / "sound.wav", duration_s)
        costs[name] = measure_command(tag_command(checkpoint, sound))
    memory = tuple(Contender(name, (cost.peak_mib,)) for name, cost in costs.items())
    time_ms = tuple(Contender(name, (1000 * cost.wall_s,)) for name, cost in costs.items())
    return [
        Case("hour", f"{args.model}, memory", 1, "MiB", memory, ()),
        Case("hour", f"{args.model}, time", 1, "ms", time_ms, ()),
    ]


def tag_command(checkpoint: Path, sound: Path) -> list[str | Path]:
    return [sys.executable, "-m", "audio_dcls_cli", "tag", sound, "--checkpoint", checkpoint]


def make_table(report: BenchReport) -> str:
    """Every ratio, with its target where it has one, as Markdown."""
    targets = {target[:4]: target[4:] for target in TARGETS}
    lines = ["| | ratio | median | quartiles of rounds | target | |", "|---|---|---|---|---|---|"]
    for case in report.cases:
        for ratio in case.ratios if case.suite != "hour" else ():
            symbol, target = targets.get((case.suite, case.batch, ratio.numerator, ratio.denominator), ("", None))
            wanted = " | " if target is None else f"{symbol} {target:g} | {verdict(ratio.median, symbol, target)}"
            lines.append(
                f"| {_title(case)} | {ratio.numerator} ÷ {ratio.denominator} | {ratio.median:.3g} | {ratio.low:.3g} – "
                f"{ratio.high:.3g} | {wanted} |"
            )
    lines += [*_hour_lines(report), "", "| from file to tags | ms | clips per second |", "|---|---|---|"]
    for case in report.cases:
        if case.suite == "clip":
            for one in sorted(case.contenders, key=lambda contender: contender.median):
                speed = 1000 * case.batch / one.median
                lines.append(f"| {_title(case)}, {one.name} | {one.median:.4g} | {speed:.3g} |")
    return "\n".join([*lines, *report_footer(report)]) + "\n"


def _title(case: Case) -> str:
    return "cold start" if case.suite == "start" else f"{case.subject}, {case.batch * CLIP_S:g} s"


def _hour_lines(report: BenchReport) -> list[str]:
    """The cost of the long file, compared with its length and with the short file."""
    cases = [case for case in report.cases if case.suite == "hour"]
    if not cases:
        return []
    (short_mib, long_mib), (short_ms, long_ms) = ([one.median for one in case.contenders] for case in cases)
    short_s, long_s = (float(one.name.removesuffix(" s")) for one in cases[0].contenders)
    growth_mib = long_mib - short_mib
    factor = (long_ms - short_ms) / (1000 * (long_s - short_s))
    return [
        "",
        f"| {cases[0].subject.partition(',')[0]}, {long_s:g} s of 44.1 kHz stereo | measured | target | |",
        "|---|---|---|---|",
        f"| peak MiB, minus the {short_mib:.0f} for {short_s:g} s | {growth_mib:.0f} | ≤ {MAX_GROWTH_MIB:.0f} | "
        f"{verdict(growth_mib, '≤', MAX_GROWTH_MIB)} |",
        f"| real-time factor: seconds of computing per second of sound, without start-up | {factor:.4f} | | |",
        f"| seconds in all | {long_ms / 1000:.1f} | | |",
    ]


if __name__ == "__main__":
    main()
