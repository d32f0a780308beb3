"""Published weights from the command line: fetched with a bar, said once."""

from __future__ import annotations

from pathlib import Path


def fetch_weights(name: str, *, quiet: bool = False, for_tagging: bool = True) -> Path:
    """The file of published weights, with a bar while it is fetched.

    Args:
        name: of `models list`, or one on the hub.
        quiet: whether nothing is printed.
        for_tagging: whether weights of images are refused.

    Raises:
        PretrainedError: there are none of that name, or they are neither here nor to be had.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from audio_dcls.models.weights.published import find_published, resolve, resolve_tagger
    from audio_dcls_cli.progress import err

    fetch = resolve_tagger if for_tagging else resolve
    weights = find_published(name)
    if not quiet and weights is not None and not weights.is_cached and (weights.is_tagger or not for_tagging):
        err.print(f"Fetching {weights.url}", markup=False, soft_wrap=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True))
    with Progress(
        TextColumn("{task.description}"), *columns, console=err, transient=True, disable=quiet or not err.is_terminal
    ) as bar:
        task = bar.add_task(name, total=None)
        return fetch(name, progress=lambda done, total: bar.update(task, completed=done, total=total))
