"""A report as one HTML page that needs no other file, and each figure as PNG, PDF and CSV next to it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from audio_dcls.errors import NothingToShowError
from audio_dcls.evaluation.table_text import csv_text
from audio_dcls.files import write_atomically
from audio_dcls.inspection.page_templates import render_page
from audio_dcls.inspection.report.chapters import CHAPTERS
from audio_dcls.inspection.report.item import ReportItem
from audio_dcls.inspection.report.subject import Subject

_MAX_ROWS_SHOWN = 40


def write_report(
    subject: Subject,
    folder: Path,
    names: Sequence[str] | None = None,
    on_chapter: Callable[[str], object] = lambda name: None,
    dpi: int = 200,
) -> list[Path]:
    """Draw chapters (all, if `names` is None) and write them; the page is the last of the files.

    `on_chapter` gets the name of each chapter before it is drawn. A chapter that has nothing to show raises
    `NothingToShowError` if it was named; without names the page says so.
    """
    chosen = tuple(CHAPTERS) if names is None else tuple(names)
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    chapters: list[dict[str, Any]] = []
    for name in chosen:
        on_chapter(name)
        title = name.replace("-", " ").capitalize()
        chapter: dict[str, Any] = {"name": name, "title": title, "items": [], "missing": None}
        chapters.append(chapter)
        try:
            for item in CHAPTERS[name].items(subject):
                files += _write_item(item, folder, dpi)
                chapter["items"].append(_shown(item, folder))
        except NothingToShowError as error:
            if names is not None:
                raise
            chapter["missing"] = str(error)[:1].upper() + str(error)[1:]
    page = folder / "report.html"
    text = render_page("report.html.j2", facts=subject.facts, chapters=chapters, cell_text=_cell_text)
    write_atomically(page, text.encode())
    return [*files, page]


def _write_item(item: ReportItem, folder: Path, dpi: int) -> list[Path]:
    """Write NAME.png and NAME.pdf of a figure, and NAME.csv of data."""
    files = []
    if item.figure is not None:
        for suffix in ("png", "pdf"):
            path, content = folder / f"{item.name}.{suffix}", io.BytesIO()
            dateless = {"Creator": None, "CreationDate": None} if suffix == "pdf" else None
            item.figure.savefig(content, format=suffix, dpi=dpi, metadata=dateless)
            write_atomically(path, content.getvalue())
            item.figure.set_layout_engine("none")  # the second file keeps the layout of the first
            files.append(path)
    if item.rows:
        path = folder / f"{item.name}.csv"
        write_atomically(path, csv_text(item.rows).encode())
        files.append(path)
    return files


def _shown(item: ReportItem, folder: Path) -> dict[str, Any]:
    """An item as its template shows it; long tables are only in the CSV file."""
    png = None if item.figure is None else (folder / f"{item.name}.png").read_bytes()
    rows = item.rows if png is None or len(item.rows) <= _MAX_ROWS_SHOWN else []
    return {"caption": item.caption, "png": png, "rows": rows, "recordings": item.recordings}


def _cell_text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "all" if math.isinf(value) else f"{value:.5g}"
    return str(value)
