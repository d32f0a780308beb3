"""A study's table as Markdown, CSV and LaTeX.

Written by hand because pandas' writers save nothing here: to_markdown needs tabulate, to_latex leaves the caption and
mathematical signs unescaped, and to_csv turns counts with gaps into floats.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from audio_dcls.evaluation.study_table import CaseRow, StudyTable

_UNKNOWN = "–"
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "−": r"$-$",
    "–": "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_LATEX_PATTERN = re.compile("|".join(map(re.escape, _LATEX)))


def headers(table: StudyTable) -> tuple[str, ...]:
    """Column names of `cells`."""
    return tuple(_columns(table))


def cells(table: StudyTable) -> list[tuple[str, ...]]:
    """The table's rows as text for people: mAP in %, parameters in millions, MACs in thousand millions.

    >>> from audio_dcls.evaluation.study_table import CaseFacts, build_table
    >>> table = build_table("s", (0, 1), [CaseFacts("a", None, {0: 0.40, 1: 0.42}, 28_600_000)])
    >>> headers(table), cells(table)
    (('case', 'mAP (%)', 'seeds', 'params (M)'), [('a', '41.00 ± 1.41', '2 of 2', '28.6')])
    """
    return list(zip(*_columns(table).values(), strict=True))


def _columns(table: StudyTable) -> dict[str, list[str]]:
    """Texts of the rows by column; a column that is unknown for all cases is left out."""
    rows = table.rows
    facts = [row.facts for row in rows]
    speeds = [fact.speed for fact in facts]
    p_values = [None if row.difference is None else row.difference.p_value for row in rows]
    columns = {
        "case": [fact.name for fact in facts],
        "mAP (%)": [_UNKNOWN if row.summary is None else row.summary.format(scale=100, digits=2) for row in rows],
        "seeds": [f"{len(fact.scores)} of {len(table.seeds)}" for fact in facts],
        "params (M)": _short((fact.num_parameters for fact in facts), unit=1e6),
        "MACs (G)": _short((fact.num_macs for fact in facts), unit=1e9),
        "tagging (clips/s)": _short(speed and speed.inference for speed in speeds),
        "training (clips/s)": _short(speed and speed.train for speed in speeds),
        "Δ to baseline": [_difference_text(row) for row in rows],
        "p": [_UNKNOWN if value is None else _p_text(value) for value in p_values],
    }
    always = {"case", "mAP (%)", "seeds", *(["Δ to baseline"] if any(fact.baseline for fact in facts) else [])}
    return {name: texts for name, texts in columns.items() if name in always or {*texts} != {_UNKNOWN}}


def _short(values: Iterable[float | None], unit: float = 1.0) -> list[str]:
    """Numbers with three significant digits, in some unit."""
    return [_UNKNOWN if value is None else f"{value / unit:.3g}" for value in values]


def _difference_text(row: CaseRow) -> str:
    difference = row.difference
    if difference is None:
        return _UNKNOWN
    text = f"{_signed(difference.mean)}"
    if difference.interval is not None:
        low, high = difference.interval
        text += f" [{_signed(low)}, {_signed(high)}]"
    return text


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.2f}".replace("-", "−")


def _p_text(p_value: float) -> str:
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def seed_headers(table: StudyTable) -> tuple[str, ...]:
    """Column names of `seed_cells`."""
    return ("case", *(f"seed {seed}" for seed in table.seeds))


def seed_cells(table: StudyTable) -> list[tuple[str, ...]]:
    """mAP in % of each seed, with the difference to the baseline after it, if there is a baseline."""
    rows = []
    for row in table.rows:
        texts = [row.facts.name]
        for seed in table.seeds:
            score = row.facts.scores.get(seed)
            text = _UNKNOWN if score is None else f"{100 * score:.2f}"
            if row.difference is not None and seed in row.difference.by_seed:
                text += f" ({_signed(row.difference.by_seed[seed])})"
            texts.append(text)
        rows.append(tuple(texts))
    return rows


def to_markdown(table: StudyTable) -> str:
    """The table, each seed, what is missing, and the notes."""
    blocks = [f"# {table.name}", _markdown_table(headers(table), cells(table))]
    if len(table.seeds) > 1:
        blocks += ["mAP (%) by seed", _markdown_table(seed_headers(table), seed_cells(table))]
    if table.missing:
        lines = [f"- {run.case}, seed {run.seed} ({run.state}): `{run.command}`" for run in table.missing]
        blocks.append(f"Missing ({len(table.missing)}):\n\n" + "\n".join(lines))
    blocks.append("\n".join(f"- {note}" for note in table.notes))
    return "\n\n".join(blocks) + "\n"


def _markdown_table(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [names, ("---", *["---:"] * (len(names) - 1)), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def to_csv(table: StudyTable) -> str:
    """A line per case, for programs: fractions and counts in full, empty where unknown."""
    return csv_text([_csv_row(row, table.seeds) for row in table.rows])


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as CSV, with the keys of the first as header."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _csv_row(row: CaseRow, seeds: tuple[int, ...]) -> dict[str, object]:
    facts, summary, difference = row.facts, row.summary, row.difference
    low, high = (difference and difference.interval) or (None, None)
    return {
        "case": facts.name,
        "baseline": facts.baseline,
        "num_seeds": len(facts.scores),
        "mAP_mean": summary and summary.mean,
        "mAP_std": None if summary is None or math.isnan(summary.std) else summary.std,
        **{f"mAP_seed_{seed}": facts.scores.get(seed) for seed in seeds},
        "missing_seeds": ";".join(map(str, row.missing_seeds)),
        "clip_id_hash": ";".join(sorted(set(facts.clip_hashes.values()))),
        "num_parameters": facts.num_parameters,
        "num_macs": facts.num_macs,
        "inference_clips_per_s": facts.speed and facts.speed.inference,
        "train_clips_per_s": facts.speed and facts.speed.train,
        "difference_mean": difference and difference.mean,
        "difference_low": low,
        "difference_high": high,
        "p_value": difference and difference.p_value,
        **{f"difference_seed_{seed}": difference and difference.by_seed.get(seed) for seed in seeds},
    }


def to_latex(table: StudyTable) -> str:
    """A `table` environment with the rules of the booktabs package; the notes are in its caption."""
    names, rows = headers(table), cells(table)
    missing = ", ".join(f"{run.case} seed {run.seed}" for run in table.missing)
    notes = [*table.notes, *([f"Missing: {missing}."] if missing else [])]
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{l{'r' * (len(names) - 1)}}}",
        r"\toprule",
        " & ".join(map(escape_latex, names)) + r" \\",
        r"\midrule",
        *(" & ".join(map(escape_latex, row)) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{escape_latex(table.name)}. {escape_latex(' '.join(notes))}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    r"""Text in which the characters that LaTeX interprets are escaped.

    >>> escape_latex("a_b & 5 %")
    'a\\_b \\& 5 \\%'
    """
    return _LATEX_PATTERN.sub(lambda match: _LATEX[match.group()], text)
