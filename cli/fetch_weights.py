"""Published weights from the command line: fetched with a bar, said once."""

from __future__ import annotations

from pathlib import Path


def fetch_weights(name: str, *, quiet: bool = False) -> Path:
    """The file of published weights, with a bar while it is fetched.

    Args:
        name: of `models list`.
        quiet: whether nothing is printed.

    Raises:
        PretrainedError: there are none of that name, or they are neither here nor to be had.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from audio_dcls.models.published import find_published, resolve
    from audio_dcls_cli.progress import err

    weights = find_published(name)
    if not quiet and weights is not None and not weights.is_cached:
        err.print(f"Fetching {weights.url}", markup=False, soft_wrap=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True))
    with Progress(
        TextColumn("{task.description}"), *columns, console=err, transient=True, disable=quiet or not err.is_terminal
    ) as bar:
        task = bar.add_task(name, total=None)
        return resolve(name, progress=lambda done, total: bar.update(task, completed=done, total=total))
