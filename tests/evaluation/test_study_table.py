"""A study's table against scipy, a closed form, and values worked by hand; its text forms."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from audio_dcls.errors import EvaluationError
from audio_dcls.evaluation.study_table import (
    CaseFacts,
    MissingRun,
    Speed,
    StudyTable,
    build_table,
    compare,
    interval_factor,
)
from audio_dcls.evaluation.table_text import (
    cells,
    escape_latex,
    headers,
    seed_cells,
    seed_headers,
    to_csv,
    to_latex,
    to_markdown,
)

PLAIN = {0: 0.48, 1: 0.50, 2: 0.52}
DCLS = {0: 0.50, 1: 0.53, 2: 0.56}


def paired_table() -> StudyTable:
    speed = Speed(inference=12.34, train=3.456)
    cases = [
        CaseFacts("plain", None, PLAIN, 28_223_855, 5_449_610_496, speed),
        CaseFacts("plain-dcls", "plain", DCLS, 28_221_263, 6_732_477_696, speed),
        CaseFacts("a_b & 5 %", "plain", {1: 0.51}),
        CaseFacts("untrained", "plain", {}),
    ]
    missing = [MissingRun("untrained", 0, "begun", "audio-dcls study --resume x --only case=untrained,seed=0")]
    return build_table("duel", (0, 1, 2), cases, missing, {"processor": "a CPU"}, ["Said last."])


def test_three_pairs_worked_by_hand() -> None:
    # Differences 0.02, 0.03, 0.04: mean 0.03, std 0.01, t = 0.03 / (0.01 / sqrt(3)) = sqrt(27). With two degrees of
    # freedom the two-sided p is 1 - t / sqrt(2 + t^2), and 0.975 is reached at t = 0.95 sqrt(2 / (1 - 0.95^2)).
    found = compare(DCLS, PLAIN, "plain")
    assert found is not None and found.interval is not None
    assert found.by_seed == pytest.approx({0: 0.02, 1: 0.03, 2: 0.04})
    assert found.mean == pytest.approx(0.03)
    assert found.p_value == pytest.approx(1 - math.sqrt(27 / 29))
    half = 0.95 * math.sqrt(2 / (1 - 0.95**2)) * 0.01 / math.sqrt(3)
    assert found.interval == pytest.approx((0.03 - half, 0.03 + half))
    assert interval_factor(3) == pytest.approx(half / 0.01)


def test_more_pairs_agree_with_scipy() -> None:
    rng = np.random.default_rng(3)
    baseline = rng.normal(0.45, 0.01, 7)
    scores = baseline + rng.normal(0.004, 0.005, 7)
    found = compare(dict(enumerate(scores)), dict(enumerate(baseline)), "plain")
    oracle = ttest_rel(scores, baseline)
    assert found is not None
    assert found.p_value == pytest.approx(oracle.pvalue)
    assert found.interval == pytest.approx(tuple(oracle.confidence_interval(0.95)))


def test_only_seeds_that_both_have_are_compared() -> None:
    found = compare({0: 0.5, 2: 0.6, 9: 0.9}, {0: 0.4, 1: 0.1, 2: 0.3}, "plain")
    assert found is not None
    assert found.by_seed == pytest.approx({0: 0.1, 2: 0.3})
    assert compare({0: 0.5}, {1: 0.4}, "plain") is None


def test_one_seed_gives_no_interval_and_no_test() -> None:
    table = build_table("s", (0,), [CaseFacts("a", None, {0: 0.4}), CaseFacts("b", "a", {0: 0.5})])
    found = table.row("b").difference
    assert found is not None
    assert (found.interval, found.p_value) == (None, None)
    assert any("no test" in note for note in table.notes)
    assert cells(table)[1] == ("b", "50.00", "1 of 1", "+10.00")


def test_equal_differences_have_no_p() -> None:
    found = compare({0: 0.41, 1: 0.51, 2: 0.61}, {0: 0.4, 1: 0.5, 2: 0.6}, "plain")
    assert found is not None
    assert found.p_value is None
    assert found.interval == pytest.approx((0.01, 0.01))


def test_rows_name_what_is_missing() -> None:
    table = paired_table()
    assert table.row("plain").missing_seeds == ()
    assert table.row("a_b & 5 %").missing_seeds == (0, 2)
    assert table.row("untrained").summary is None
    assert table.row("untrained").difference is None


def test_notes_say_how_little_few_pairs_show() -> None:
    notes = " ".join(paired_table().notes)
    assert "±2.48 (for 3 pairs)" in notes
    assert "does not mean that there is no difference" in notes
    assert notes.endswith("Said last.")
    alone = build_table("s", (0, 1), [CaseFacts("a", None, {0: 0.4, 1: 0.5})])
    assert len(alone.notes) == 1


def test_several_tests_are_said_to_be_several() -> None:
    cases = [CaseFacts("a", None, PLAIN), CaseFacts("b", "a", DCLS), CaseFacts("c", "a", {0: 0.4, 1: 0.6, 2: 0.5})]
    assert "10%" in build_table("s", (0, 1, 2), cases).notes[-1]


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(EvaluationError, match="'nowhere' of case 'a' must be one of the cases: a"):
        build_table("s", (0,), [CaseFacts("a", "nowhere", {})])


def test_cells_for_people() -> None:
    table = paired_table()
    assert headers(table)[3:7] == ("params (M)", "MACs (G)", "tagging (clips/s)", "training (clips/s)")
    assert cells(table)[1] == (
        *("plain-dcls", "53.00 ± 3.00", "3 of 3", "28.2", "6.73", "12.3", "3.46"),
        *("+3.00 [+0.52, +5.48]", "0.035"),
    )
    assert cells(table)[3] == ("untrained", "–", "0 of 3", "–", "–", "–", "–", "–", "–")
    assert seed_headers(table) == ("case", "seed 0", "seed 1", "seed 2")
    assert seed_cells(table)[2] == ("a_b & 5 %", "–", "51.00 (+1.00)", "–")


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    table = build_table("s", (0, 1), [CaseFacts("a", None, {0: 0.4, 1: 0.5})])
    assert headers(table) == ("case", "mAP (%)", "seeds")


def test_a_worse_case_has_a_minus() -> None:
    table = build_table("s", (0,), [CaseFacts("a", None, {0: 0.5}), CaseFacts("b", "a", {0: 0.4})])
    assert cells(table)[1][-1] == "−10.00"


def test_markdown_has_whole_rows_and_the_commands() -> None:
    text = to_markdown(paired_table())
    first, second = ([*block] for block in _markdown_blocks(text))
    assert [row.count("|") for row in first] == [len(headers(paired_table())) + 1] * 6
    assert [row.count("|") for row in second] == [5] * 6
    assert "- untrained, seed 0 (begun): `audio-dcls study --resume x --only case=untrained,seed=0`" in text
    assert "Said last." in text


def _markdown_blocks(text: str) -> list[list[str]]:
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return [block for block in blocks if block[0].startswith("|")]


def test_csv_holds_numbers_in_full() -> None:
    rows = {row["case"]: row for row in csv.DictReader(io.StringIO(to_csv(paired_table())))}
    dcls = rows["plain-dcls"]
    assert float(dcls["mAP_mean"]) == pytest.approx(0.53, abs=1e-15)
    assert [float(dcls[f"mAP_seed_{seed}"]) for seed in range(3)] == list(DCLS.values())
    assert (dcls["num_parameters"], dcls["num_macs"]) == ("28221263", "6732477696")
    assert float(dcls["p_value"]) == pytest.approx(1 - math.sqrt(27 / 29))
    assert float(dcls["difference_seed_2"]) == pytest.approx(0.04)
    assert rows["a_b & 5 %"]["missing_seeds"] == "0;2"
    assert rows["a_b & 5 %"]["mAP_std"] == ""
    assert rows["untrained"]["mAP_mean"] == ""


def test_latex_is_escaped_and_regular() -> None:
    text = to_latex(paired_table())
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    assert len(body) == 4
    assert all(line.replace(r"\&", "").count("&") == len(headers(paired_table())) - 1 for line in body)
    assert body[2].startswith(r"a\_b \& 5 \% & 51.00 & 1 of 3")
    assert r"53.00 $\pm$ 3.00" in body[1]
    assert r"\begin{tabular}{lrrrrrrrr}" in text
    assert r"Missing: untrained seed 0." in text
    assert text.isascii()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b#c$d{e}", r"a\_b\#c\$d\{e\}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("−1 ± 2", r"$-$1 $\pm$ 2"),
    ],
)
def test_latex_escapes(text: str, expected: str) -> None:
    assert escape_latex(text) == expected


def test_json_has_no_nan() -> None:
    document = json.loads(json.dumps(paired_table().to_json_dict(), allow_nan=False))
    assert document["cases"][0]["mAP"] == {"mean": pytest.approx(0.5), "std": pytest.approx(0.02), "num_seeds": 3}
    assert document["cases"][1]["difference"]["by_seed"]["1"] == pytest.approx(0.03)
    assert document["cases"][2]["mAP"]["std"] is None
    assert document["missing"][0]["state"] == "begun"
    assert document["machine"] == {"processor": "a CPU"}
