"""A study's table as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import math
import re

from audio_dcls.evaluation.study_table import CaseRow, StudyTable

NONE = "–"
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
    """Column names of `cells`; what is known of no case is left out."""
    return tuple(header for header, wanted in _columns(table) if wanted)


def cells(table: StudyTable) -> list[tuple[str, ...]]:
    """The table's rows as text for people: mAP in %, parameters in millions, MACs in thousand millions.

    >>> from audio_dcls.evaluation.study_table import CaseFacts, build_table
    >>> table = build_table("s", (0, 1), [CaseFacts("a", None, {0: 0.40, 1: 0.42}, 28_600_000)])
    >>> headers(table), cells(table)
    (('case', 'mAP (%)', 'seeds', 'params (M)'), [('a', '41.00 ± 1.41', '2 of 2', '28.6')])
    """
    wanted = [is_wanted for _, is_wanted in _columns(table)]
    return [
        tuple(text for text, keep in zip(_row_cells(row, len(table.seeds)), wanted, strict=True) if keep)
        for row in table.rows
    ]


def _columns(table: StudyTable) -> list[tuple[str, bool]]:
    facts = [row.facts for row in table.rows]
    differences = [row.difference for row in table.rows]
    return [
        ("case", True),
        ("mAP (%)", True),
        ("seeds", True),
        ("params (M)", any(f.num_parameters is not None for f in facts)),
        ("MACs (G)", any(f.num_macs is not None for f in facts)),
        ("tagging (clips/s)", any(f.speed is not None for f in facts)),
        ("training (clips/s)", any(f.speed is not None for f in facts)),
        ("Δ to baseline", any(f.baseline is not None for f in facts)),
        ("p", any(d is not None and d.p_value is not None for d in differences)),
    ]


def _row_cells(row: CaseRow, num_seeds: int) -> tuple[str, ...]:
    facts, speed = row.facts, row.facts.speed
    p_value = None if row.difference is None else row.difference.p_value
    return (
        facts.name,
        NONE if row.summary is None else row.summary.format(scale=100, digits=2),
        f"{len(facts.scores)} of {num_seeds}",
        NONE if facts.num_parameters is None else f"{facts.num_parameters / 1e6:.3g}",
        NONE if facts.num_macs is None else f"{facts.num_macs / 1e9:.3g}",
        NONE if speed is None else f"{speed.inference:.3g}",
        NONE if speed is None else f"{speed.train:.3g}",
        _difference_text(row),
        NONE if p_value is None else _p_text(p_value),
    )


def _difference_text(row: CaseRow) -> str:
    difference = row.difference
    if difference is None:
        return NONE
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
    """mAP in % of each seed, with the difference to the baseline behind it where there is one."""
    rows = []
    for row in table.rows:
        texts = [row.facts.name]
        for seed in table.seeds:
            score = row.facts.scores.get(seed)
            text = NONE if score is None else f"{100 * score:.2f}"
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
    """One line a case, for programs: fractions and counts in full, empty where unknown."""
    seeds = table.seeds
    names = [
        *(
            "case",
            "baseline",
            "num_seeds",
            "mAP_mean",
            "mAP_std",
            *(f"mAP_seed_{s}" for s in seeds),
            "missing_seeds",
            "clip_id_hash",
        ),
        *("num_parameters", "num_macs", "inference_clips_per_s", "train_clips_per_s"),
        *("difference_mean", "difference_low", "difference_high", "p_value", *(f"difference_seed_{s}" for s in seeds)),
    ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for row in table.rows:
        writer.writerow(["" if value is None else value for value in _csv_values(row, seeds)])
    return buffer.getvalue()


def _csv_values(row: CaseRow, seeds: tuple[int, ...]) -> list[object]:
    facts, summary, difference = row.facts, row.summary, row.difference
    low, high = difference.interval if difference is not None and difference.interval is not None else (None, None)
    return [
        facts.name,
        facts.baseline,
        len(facts.scores),
        None if summary is None else summary.mean,
        None if summary is None or math.isnan(summary.std) else summary.std,
        *(facts.scores.get(seed) for seed in seeds),
        ";".join(map(str, row.missing_seeds)),
        ";".join(sorted(set(facts.clip_hashes.values()))),
        facts.num_parameters,
        facts.num_macs,
        None if facts.speed is None else facts.speed.inference,
        None if facts.speed is None else facts.speed.train,
        None if difference is None else difference.mean,
        low,
        high,
        None if difference is None else difference.p_value,
        *(None if difference is None else difference.by_seed.get(seed) for seed in seeds),
    ]


def to_latex(table: StudyTable) -> str:
    """A `table` environment with the rules of the booktabs package; the notes are in its caption."""
    names, rows = headers(table), cells(table)
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
        rf"\caption{{{escape_latex(table.name)}. {escape_latex(' '.join(_caption_notes(table)))}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _caption_notes(table: StudyTable) -> list[str]:
    runs = ", ".join(f"{run.case} seed {run.seed}" for run in table.missing)
    return [*table.notes, *([f"Missing: {runs}."] if runs else [])]


def escape_latex(text: str) -> str:
    r"""Text with the characters that mean something to LaTeX written out.

    >>> escape_latex("a_b & 5 %")
    'a\\_b \\& 5 \\%'
    """
    return _LATEX_PATTERN.sub(lambda match: _LATEX[match.group()], text)
