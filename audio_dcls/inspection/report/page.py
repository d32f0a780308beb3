"""A report as one HTML page that needs no other file, and each figure as PNG, PDF and CSV beside it."""

from __future__ import annotations

import base64
import csv
import html
import io
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from audio_dcls.errors import ArgumentError, NothingToShowError
from audio_dcls.files import write_atomically
from audio_dcls.inspection.audit.style import STYLE
from audio_dcls.inspection.report.chapters import CHAPTERS
from audio_dcls.inspection.report.exhibit import Exhibit, Player
from audio_dcls.inspection.report.subject import Subject

MAX_ROWS_SHOWN = 40
DPI = 200
PAGE_STYLE = """
figure { margin: 1.2rem 0 2rem; } .picture { overflow-x: auto; border-radius: 8px; }
.picture img { display: block; width: 100%; min-width: 36rem; background: #fff; } nav a { color: var(--accent); }
figcaption { color: var(--soft); max-width: 75ch; margin-top: 0.4rem; } th { padding: 0.3rem 0.9rem 0.3rem 0; }
nav { display: flex; flex-wrap: wrap; gap: 0.3rem 1rem; } .missing { color: var(--soft); }
.player { display: flex; flex-wrap: wrap; gap: 0.4rem 1rem; align-items: center; margin: 0.5rem 0; }
.player audio { height: 2rem; max-width: 100%; } .player span { flex: 1 1 18rem; overflow-wrap: anywhere; }
"""
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
    sections: list[str] = []
    for name in chosen:
        if on_chapter is not None:
            on_chapter(name)
        shown: list[str] = []
        try:
            for exhibit in CHAPTERS[name](subject):
                files += write_exhibit(exhibit, folder, dpi)
                shown.append(_shown(exhibit, folder))
        except NothingToShowError as error:
            if names is not None:
                raise
            reason = str(error)
            shown.append(f"<p class='missing'>{html.escape(reason[:1].upper() + reason[1:])}.</p>")
        sections.append(f"<section id='{name}'><h2>{html.escape(_title(name))}</h2>{''.join(shown)}</section>")
    page = folder / PAGE
    write_atomically(page, _page(subject.facts, chosen, sections).encode())
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


def _page(facts: str, names: Iterable[str], sections: Iterable[str]) -> str:
    links = "".join(f"<a href='#{name}'>{html.escape(_title(name))}</a>" for name in names)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(facts)}</title><style>{STYLE}{PAGE_STYLE}</style></head><body><main>"
        f"<h1>What the model learned</h1><p class='source'>{html.escape(facts)}</p><nav>{links}</nav>"
        f"{''.join(sections)}</main></body></html>"
    )


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _shown(exhibit: Exhibit, folder: Path) -> str:
    caption = html.escape(exhibit.caption)
    image = ""
    if exhibit.figure is not None:
        content = base64.b64encode((folder / f"{exhibit.name}.png").read_bytes()).decode()
        image = f"<div class='picture'><img alt='{caption}' src='data:image/png;base64,{content}'></div>"
    rows = exhibit.rows if exhibit.figure is None or len(exhibit.rows) <= MAX_ROWS_SHOWN else []
    players = "".join(map(_player, exhibit.players))
    return f"<figure>{image}<figcaption>{caption}</figcaption>{_table(rows)}{players}</figure>"


def _player(player: Player) -> str:
    content = base64.b64encode(player.mp3).decode()
    return (
        f"<div class='player'><span>{html.escape(player.caption)}</span>"
        f"<audio controls preload='none' src='data:audio/mpeg;base64,{content}'></audio></div>"
    )


def _table(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_text(value)}</td>" for value in row.values()) + "</tr>" for row in rows)
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "all" if math.isinf(value) else f"{value:.5g}"
    return html.escape(str(value))
