"""Claim: with many clients at once, the service is nearly as fast as direct calls of the Tagger.

It starts `audio-dcls serve` with a full-size tagger of random weights, and sends sounds of 1 to 20 s (wav, flac and
ogg, mono and stereo, three rates) from 32 clients at once, 2 000 requests in blocks. Between the blocks the same sounds
go through `Tagger.tag_many` in this process, while the service is idle, so both rates of the ratio come from the same
run. The clients use the same cores. Memory is the private memory of all processes of the service, after each block.
With `--training`, some requests are sent at the end while a training runs in the service.

It writes service_load.json and service_load.md, takes about fifteen minutes on two cores, and needs the `serve` extra:

    python benchmarks/service_load.py --training
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import soundfile
import torch

from audio_dcls.frontend import FrontendConfig
from audio_dcls.inference import Tagger, TagResult
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint
from audio_dcls.speed.machine import describe_machine
from bench_tools.results import RESULTS, argument_parser, report_progress, results_heading, write_results

RATES_HZ = (16_000, 32_000, 44_100)
FORMS = (("wav", "PCM_16"), ("flac", "PCM_16"), ("ogg", "VORBIS"))
SHORTEST_S, LONGEST_S = 1.0, 20.0
START_S = 120.0


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--model", default="convnext_tiny", help="backbone, with DCLS")
    parser.add_argument("--requests", type=int, default=2000, help="requests to the service")
    parser.add_argument("--blocks", type=int, default=4, help="blocks of requests, with direct calls between them")
    parser.add_argument("--clients", type=int, default=32, help="clients at once")
    parser.add_argument("--sounds", type=int, default=250, help="different sounds")
    parser.add_argument("--training", action="store_true", help="also measure during a training run")
    parser.add_argument("--training-requests", type=int, default=200, help="requests during the training run")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the files")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report = measure(Path(name), args)
    write_results(args.out, report, as_markdown(report))


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything in one run."""
    sounds = write_sounds(folder / "sounds", args.sounds)
    model = write_model(folder / "model.safetensors", args.model)
    tagger = Tagger.load(model)
    per_block = args.requests // args.blocks
    order = itertools.cycle(sounds)
    with serving(folder, model) as (address, process):
        send_all(address, sounds[: 2 * args.clients], args.clients)  # the workers start, the kernels are made
        list(tagger.tag_many(sounds[:8]))
        blocks = []
        for number in range(args.blocks):
            chosen = [next(order) for _ in range(per_block)]
            block: dict[str, Any] = {}
            for side in ("service", "direct") if number % 2 == 0 else ("direct", "service"):
                if side == "service":
                    block |= summarise_answers(send_all(address, chosen, args.clients))
                    block["memory_mib"] = memory_mib(process)
                else:
                    block["direct_clips_per_s"] = per_block / seconds_of_direct_calls(tagger, chosen)
            block["throughput"] = block["clips_per_s"] / block["direct_clips_per_s"]
            report_progress(f"block {number + 1}/{args.blocks}: {json.dumps(block)}")
            blocks.append(block)
        during_training = measure_during_training(address, sounds, args) if args.training else None
    latencies = np.concatenate([block.pop("latencies_s") for block in blocks])
    memory = [block["memory_mib"] for block in blocks]
    return {
        "benchmark": "service_load",
        "machine": describe_machine(torch.device("cpu")),
        "settings": {"model": f"{args.model}-dcls", "requests": args.requests, "clients": args.clients},
        "errors": sum(block["errors"] for block in blocks),
        "latency_s": {f"p{p}": round(float(np.percentile(latencies, p)), 3) for p in (50, 95, 99)},
        "clips_per_s": float(np.median([block["clips_per_s"] for block in blocks])),
        "direct_clips_per_s": float(np.median([block["direct_clips_per_s"] for block in blocks])),
        "throughput": float(np.median([block["throughput"] for block in blocks])),
        "memory_growth": max(memory) / memory[0] - 1,
        "blocks": blocks,
        "during_training": during_training,
    }


def write_sounds(folder: Path, count: int) -> list[Path]:
    """Swelling noise in all formats, 1 to 20 s long."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        rate_hz = RATES_HZ[index % len(RATES_HZ)]
        form, subtype = FORMS[(index // 3) % len(FORMS)]
        num_samples = round(rng.uniform(SHORTEST_S, LONGEST_S) * rate_hz)
        swell = 0.5 + 0.4 * np.sin(np.linspace(0, 20, num_samples))
        sound = 0.3 * swell[:, None] * rng.standard_normal((num_samples, 1 + index % 2))
        path = folder / f"{index:04d}.{form}"
        soundfile.write(path, np.clip(sound, -1, 1).astype(np.float32), rate_hz, subtype=subtype)
        paths.append(path)
    return paths


def write_model(path: Path, name: str) -> Path:
    """Write a tagger with AudioSet's classes; random weights take as long as trained ones."""
    config, frontend, labels = ModelConfig(name=name, dcls=DclsConfig()), FrontendConfig(), LabelSet.audioset()
    torch.manual_seed(0)
    model = build_tagger(config, frontend, len(labels))
    save_checkpoint(path, model, model_config=config, frontend_config=frontend, labels=labels, info={})
    return path


@contextlib.contextmanager
def serving(folder: Path, model: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start a service; yield its address and its process."""
    log = (folder / "service.log").open("wb")
    command = [sys.executable, "-m", "audio_dcls_cli", "serve", "--port", "0", "--state", str(folder / "state")]
    process = subprocess.Popen([*command, "--model", f"model={model}"], stderr=log, stdout=log, cwd=folder)
    try:
        address = _address_in(folder / "service.log", process)
        end = time.monotonic() + START_S
        while httpx.get(f"{address}/readyz").status_code != 200 and time.monotonic() < end:
            time.sleep(0.2)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
        log.close()


def _address_in(log: Path, process: subprocess.Popen[bytes]) -> str:
    """The address in the service's log."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        words = log.read_text(encoding="utf-8").split()
        if "Serving" in words:
            return words[words.index("Serving") + 2]
        time.sleep(0.1)
    raise SystemExit(f"the service did not start: {log.read_text(encoding='utf-8')}")


def send_all(address: str, sounds: Sequence[Path], clients: int) -> dict[str, Any]:
    """Send each sound once, from several clients at once."""
    contents = {path: path.read_bytes() for path in set(sounds)}
    local = threading.local()

    def send(path: Path) -> tuple[int, float]:
        if not hasattr(local, "connection"):  # httpx would use a tenth of the cores that the service needs
            local.connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=600.0)
        began = time.perf_counter()
        local.connection.request("POST", f"/v1/tag?name={path.name}", body=contents[path])
        answer = local.connection.getresponse()
        answer.read()
        return answer.status, time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as executor:
        answers = list(executor.map(send, sounds))
    return {"seconds": time.perf_counter() - began, "answers": answers}


def summarise_answers(sent: dict[str, Any]) -> dict[str, Any]:
    """Rate, errors and latencies of the requests."""
    answers = sent["answers"]
    return {
        "clips_per_s": len(answers) / sent["seconds"],
        "errors": sum(status != 200 for status, _ in answers),
        "latencies_s": [seconds for _, seconds in answers],
    }


def seconds_of_direct_calls(tagger: Tagger, sounds: Sequence[Path]) -> float:
    """The seconds that direct calls of the Tagger take for the same sounds."""
    began = time.perf_counter()
    if not all(isinstance(outcome, TagResult) for outcome in tagger.tag_many(sounds)):
        raise SystemExit("a synthetic sound could not be tagged")
    return time.perf_counter() - began


def memory_mib(process: psutil.Process) -> float:
    """The private memory of a process and its children."""
    return sum(p.memory_full_info().uss for p in (process, *process.children(recursive=True))) / 2**20


def measure_during_training(address: str, sounds: Sequence[Path], args: argparse.Namespace) -> dict[str, Any]:
    """Send requests while the service trains the demo."""
    run = httpx.post(f"{address}/v1/runs", json={"config": "demo.yaml", "seeds": [0]}, timeout=60.0).json()
    end = time.monotonic() + 600
    while (state := httpx.get(f"{address}/v1/runs/{run['id']}").json())["progress"] == 0 and time.monotonic() < end:
        if state["state"] not in ("queued", "running"):
            raise SystemExit(f"the run ended early: {state}")
        time.sleep(1.0)
    found = summarise_answers(
        send_all(address, [sounds[i % len(sounds)] for i in range(args.training_requests)], args.clients)
    )
    after = httpx.get(f"{address}/v1/runs/{run['id']}").json()
    httpx.post(f"{address}/v1/runs/{run['id']}/stop")
    latencies = found.pop("latencies_s")
    return {
        **found,
        "requests": args.training_requests,
        "latency_s": {f"p{p}": round(float(np.percentile(latencies, p)), 3) for p in (50, 95, 99)},
        "progress_before": state["progress"],
        "progress_after": after["progress"],
        "state_after": after["state"],
    }


def as_markdown(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    latency, settings = report["latency_s"], report["settings"]
    lines = [
        results_heading(__doc__ or "", report["machine"]),
        "",
        f"{settings['requests']} requests, {settings['clients']} clients, sounds of 1 to 20 s, {settings['model']}:",
        "",
        "| | |",
        "| --- | --- |",
        f"| errors | {report['errors']} |",
        f"| latency p50 / p95 / p99 | {latency['p50']:.2f} / {latency['p95']:.2f} / {latency['p99']:.2f} s |",
        f"| rate | {report['clips_per_s']:.2f} clips/s |",
        f"| rate ÷ calling the Tagger directly | {report['throughput']:.2f} |",
        f"| memory after the last blocks ÷ after the first | {1 + report['memory_growth']:.3f} |",
    ]
    if (during_training := report["during_training"]) is not None:
        p = during_training["latency_s"]
        lines.append(
            f"| during a training run: errors of {during_training['requests']}, latency, rate | "
            f"{during_training['errors']}, "
            f"{p['p50']:.2f} / {p['p95']:.2f} / {p['p99']:.2f} s, {during_training['clips_per_s']:.2f} clips/s |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
