"""A report as one HTML page that needs no other file, and each figure as PNG, PDF and CSV beside it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from audio_dcls.errors import ArgumentError, NothingToShowError
from audio_dcls.files import write_atomically
from audio_dcls.inspection.page_templates import render_page
from audio_dcls.inspection.report.chapters import CHAPTERS
from audio_dcls.inspection.report.exhibit import Exhibit
from audio_dcls.inspection.report.subject import Subject

MAX_ROWS_SHOWN = 40
DPI = 200
PAGE = "report.html"


def write_report(
    subject: Subject,
    folder: Path,
    names: Sequence[str] | None = None,
    on_chapter: Callable[[str], None] | None = None,
    dpi: int = DPI,
) -> list[Path]:
    """Draw chapters and write them.

    Args:
        subject: what is inspected.
        folder: made if it is not there.
        names: of chapters; all by default.
        on_chapter: told the name of each as it begins.
        dpi: dots an inch of the PNG files.

    Returns:
        The files, the page last.

    Raises:
        ArgumentError: there is no such chapter.
        NothingToShowError: a chapter that was named has nothing to show; without names it says so on the page.
    """
    chosen = tuple(CHAPTERS) if names is None else tuple(names)
    check_names(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    chapters: list[dict[str, Any]] = []
    for name in chosen:
        if on_chapter is not None:
            on_chapter(name)
        chapter: dict[str, Any] = {"name": name, "title": _title(name), "exhibits": [], "missing": None}
        chapters.append(chapter)
        try:
            for exhibit in CHAPTERS[name](subject):
                files += write_exhibit(exhibit, folder, dpi)
                chapter["exhibits"].append(_shown(exhibit, folder))
        except NothingToShowError as error:
            if names is not None:
                raise
            reason = str(error)
            chapter["missing"] = reason[:1].upper() + reason[1:]
    page = folder / PAGE
    text = render_page("report.html.j2", facts=subject.facts, chapters=chapters, cell_text=_cell_text)
    write_atomically(page, text.encode())
    return [*files, page]


def check_names(names: Sequence[str]) -> None:
    """Refuse what is no chapter.

    Raises:
        ArgumentError: there is no such chapter.
    """
    unknown = [name for name in names if name not in CHAPTERS]
    if unknown:
        hint = "; of sounds each needs its own --clips" if Path(unknown[0]).exists() else ""
        raise ArgumentError(
            f"`name` (={unknown[0]!r}) is no chapter of the report; there are: {', '.join(CHAPTERS)}{hint}"
        )


def write_exhibit(exhibit: Exhibit, folder: Path, dpi: int = DPI) -> list[Path]:
    """NAME.png, NAME.pdf and NAME.csv, as far as there are."""
    files = []
    if exhibit.figure is not None:
        for suffix in ("png", "pdf"):
            path = folder / f"{exhibit.name}.{suffix}"
            write_atomically(path, _encoded(exhibit.figure, suffix, dpi))
            exhibit.figure.set_layout_engine("none")  # found once, the layout is kept
            files.append(path)
    if exhibit.rows:
        path = folder / f"{exhibit.name}.csv"
        write_atomically(path, _csv(exhibit.rows).encode())
        files.append(path)
    return files


def _encoded(figure: Figure, form: str, dpi: int) -> bytes:
    content = io.BytesIO()
    dateless = {"Creator": None, "CreationDate": None} if form == "pdf" else None
    figure.savefig(content, format=form, dpi=dpi, metadata=dateless)
    return content.getvalue()


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _shown(exhibit: Exhibit, folder: Path) -> dict[str, Any]:
    """An exhibit as its template shows it; long tables are in the CSV file alone."""
    png = None if exhibit.figure is None else (folder / f"{exhibit.name}.png").read_bytes()
    rows = exhibit.rows if png is None or len(exhibit.rows) <= MAX_ROWS_SHOWN else []
    return {"caption": exhibit.caption, "png": png, "rows": rows, "players": exhibit.players}


def _cell_text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "all" if math.isinf(value) else f"{value:.5g}"
    return str(value)
