"""A fake of `audio-dcls train`: it writes a run's folder step by step, stops on SIGTERM, and resumes.

`seeds`, `loop.epochs` (steps, one per epoch) and `loop.checkpoint_every_minutes` (seconds a step takes) come from the
config; a file FOLDER.do next to the run says how it ends: `fail`, `crash` or `die`. While there is a file
FOLDER.hold, the trainer waits after the step that the file names, until SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import yaml


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[0] == "eval":
        return measure(Path(arguments[1]))
    if arguments[1] == "--resume":
        folder = Path(arguments[2])
        config = yaml.safe_load((folder / "config.yaml").read_text())
    else:
        folder = Path(arguments[3])
        config = yaml.safe_load(Path(arguments[1]).read_text())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    signal.signal(signal.SIGTERM, stop)
    command = Path(f"{folder}.do")
    how = command.read_text() if command.is_file() else ""
    for seed in config["seeds"]:
        run = folder / f"seed-{seed}"
        run.mkdir(exist_ok=True)
        num_steps = config["loop"]["epochs"]
        path = run / "status.json"
        step = json.loads(path.read_text())["step"] if path.is_file() else 0
        while step < num_steps:
            if how == "fail":
                sys.stderr.write("error: `loop.epochs` (=1) is wrong; fix it\n")
                return 2
            if how == "crash":
                raise ZeroDivisionError("half a step")
            if how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            while not stopped and step >= last_allowed(Path(f"{folder}.hold")):
                time.sleep(0.005)
            time.sleep(config["loop"]["checkpoint_every_minutes"])
            step += 1
            with (run / "metrics.jsonl").open("a") as file:
                file.write(
                    json.dumps({"step": step, "epoch": float(step), "loss": 1 / step, "clips_per_s": 8.0}) + "\n"
                )
            status(path, "running", step, num_steps)
            sys.stdout.write(f"step {step}\n")
            sys.stdout.flush()
            if stopped:
                status(path, "stopped", step, num_steps)
                return 75
        status(path, "done", step, num_steps)
    return 0


def last_allowed(hold: Path) -> float:
    try:
        return int(hold.read_text())
    except FileNotFoundError:
        return float("inf")


def status(path: Path, state: str, step: int, num_steps: int) -> None:
    part = path.with_suffix(".part")
    last = {"last_evaluation": {"mAP": 0.5}} if state == "done" else {}
    part.write_text(json.dumps({"state": state, "step": step, "num_steps": num_steps, "epoch": step, **last}))
    part.replace(path)


def measure(folder: Path) -> int:
    for run in folder.glob("seed-*"):
        (run / "eval").mkdir(exist_ok=True)
        (run / "eval/per_class.csv").write_text(
            "index,mid,display_name,num_positives,average_precision,auc,d_prime\n0,/t/low,Low,3,0.5,0.5,0\n1,/t/no,No,0,,,\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
