"""`audio-dcls models`: list backbones and published weights, fetch those, and show what a swap for DCLS does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
import typer
from rich.table import Table
from rich.text import Text

from audio_dcls.dcls.swap.plan import SwapPlan, count_parameters
from audio_dcls.errors import ModelError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import FAMILIES, PAPER_NAMES, AudioTagger, DclsConfig, ModelConfig, build_tagger, member_names
from audio_dcls.models.weights.published import DEFAULT_NAME, PUBLISHED, PublishedWeights
from audio_dcls_cli.inputs import fetch_weights
from audio_dcls_cli.screen.progress import out, say

DCLS_SUFFIX = "-dcls"
BYTES_PER_PARAMETER = 4
"""Bytes of a float32; a file may hold more than the model."""


def list_models(*, json_: bool) -> None:
    """Print the members of each family; those of the paper stand out. Then the published weights."""
    members = {family.title: member_names(family) for family in FAMILIES}
    if json_:
        published = [weights.to_json_dict() for weights in PUBLISHED]
        typer.echo(json.dumps({"families": members, "paper": list(PAPER_NAMES), "published": published}))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("family")
    table.add_column("names", overflow="fold")
    for title, names in members.items():
        styled = [Text(name, style="bold green" if name in PAPER_NAMES else "") for name in names]
        table.add_row(title, Text(" ").join(styled))
    out.print(table)
    say(f"The paper's: {', '.join(PAPER_NAMES)}. Add {DCLS_SUFFIX} to a name, or `dcls: {{}}` to a config, to swap it.")
    say("")
    out.print(_published_table(PUBLISHED))
    pages = dict.fromkeys(weights.page for weights in PUBLISHED)
    say(f"Source: {' and '.join(pages)}; mAP: mean over three seeds, arXiv 2309.13972.")
    say(f"Use: `tag --checkpoint {DEFAULT_NAME} SOUND`, or model.pretrained_file in a config.")
    say("They are fetched once; `models fetch NAME` does it ahead of time.")


def fetch(*, name: str) -> None:
    """Fetch, check and convert; print where they are."""
    typer.echo(str(fetch_weights(name, for_tagging=False)))


def show(*, name: str, dcls: bool, num_classes: int, json_: bool) -> None:
    """Print layers, sharing and parameters, before and after the swap."""
    backbone = name.removesuffix(DCLS_SUFFIX)
    if backbone != name and not dcls:
        raise ModelError(f"`NAME` (={name!r}) is the swapped model; leave {DCLS_SUFFIX} out to see the plain one")
    with torch.device("meta"):  # sizes without memory: the largest members hold a billion parameters
        plain = build_tagger(ModelConfig(name=backbone), FrontendConfig(), num_classes)
        swapped = plain
        if dcls:
            swapped = build_tagger(ModelConfig(name=backbone, dcls=DclsConfig()), FrontendConfig(), num_classes)
    parts = {part: (_count(plain, part), _count(swapped, part)) for part in ("stem", "stages", "head", "")}
    plan = swapped.swap_plan
    if json_:
        typer.echo(json.dumps(_as_json(backbone, num_classes, parts, plan)))
        return
    if plan is not None:
        say(f"[bold]{backbone}: {len(plan.entries)} layers become DCLS, {plan.kernel_count} elements each[/]")
        out.print(_swap_table(plan))
        say("Positions and spreads are counted with the first layer of their group.\n")
    say(f"[bold]{backbone}: parameters with {num_classes} classes[/]")
    out.print(_part_table(parts, with_swap=plan is not None))


def _published_table(published: Sequence[PublishedWeights]) -> Table:

    table = Table(box=None, pad_edge=False)
    table.add_column("published weights", no_wrap=True)
    table.add_column("trained on", no_wrap=True)
    table.add_column("mAP, %", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("here")
    table.add_column("record", no_wrap=True)
    for weights in published:
        score = "-"
        if weights.mean_average_precision is not None and weights.std is not None:
            score = f"{100 * weights.mean_average_precision:.2f} ± {100 * weights.std:.2f}"
        size = f"{weights.num_parameters * BYTES_PER_PARAMETER / 1e6:.0f} MB"
        here = "yes" if weights.is_cached else "no"
        table.add_row(weights.name, weights.trained_on, score, size, here, str(weights.record))
    return table


def _count(tagger: AudioTagger, part: str) -> int:
    """Parameters of a part of the backbone, each once; the head takes whatever lies after the stages."""
    backbone = tagger.backbone
    if part == "head":
        return count_parameters(backbone) - _count(tagger, "stem") - _count(tagger, "stages")
    return count_parameters(backbone.get_submodule(part))


def _swap_table(plan: SwapPlan) -> Table:

    table = Table(box=None, pad_edge=False, collapse_padding=True, show_footer=True)
    before = sum(entry.num_parameters_before for entry in plan.entries)
    after = sum(entry.num_parameters_after for entry in plan.entries)
    table.add_column("layer", "together", overflow="fold")
    table.add_column("width", justify="right")
    table.add_column("kernel", no_wrap=True)
    table.add_column("shared with", no_wrap=True)
    table.add_column("before", f"{before:,}", justify="right")
    table.add_column("after", f"{after:,}", justify="right")
    groups = plan.groups()
    for entry in plan.entries:
        shared = f"{entry.group}, {len(groups[entry.group])} layers" if entry.group else "-"
        kernels = f"{_by(entry.old_kernel_size)}→{_by(entry.new_kernel_size)}"
        numbers = (f"{entry.num_parameters_before:,}", f"{entry.num_parameters_after:,}")
        table.add_row(entry.name, str(entry.width), kernels, shared, *numbers)
    return table


def _part_table(parts: dict[str, tuple[int, int]], *, with_swap: bool) -> Table:

    table = Table(box=None, pad_edge=False)
    table.add_column("part", min_width=10)
    table.add_column("plain", justify="right")
    if with_swap:
        table.add_column("with DCLS", justify="right")
    for part, counts in parts.items():
        shown = counts if with_swap else counts[:1]
        table.add_row(part or "together", *(f"{count:,}" for count in shown), style="" if part else "bold")
    return table


def _by(size: tuple[int, ...]) -> str:
    return "x".join(str(taps) for taps in size)


def _as_json(name: str, num_classes: int, parts: dict[str, tuple[int, int]], plan: SwapPlan | None) -> dict[str, Any]:
    return {
        "name": name,
        "num_classes": num_classes,
        "num_parameters_before": parts[""][0],
        "num_parameters_after": parts[""][1],
        "parts": {part: {"before": counts[0], "after": counts[1]} for part, counts in parts.items() if part},
        "swap": None if plan is None else plan.to_json_dict() | {"groups": plan.groups()},
    }
