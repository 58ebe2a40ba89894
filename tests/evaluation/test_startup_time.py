"""What short commands cost: what the measurement writes for the results page."""

from __future__ import annotations

from evaluation.results import table
from evaluation.startup_time import _best, over_limit, results_section

ROWS = {
    "python, import torch": {"seconds": 4.0, "cpu_s": 1.31, "mb": 210.2, "exit": 0, "errors": ""},
    "watchlist add, one photo": {"seconds": 4.123, "cpu_s": 1.987, "mb": 355.4, "exit": 0, "errors": ""},
    "run --engine inline": {"seconds": 6.5, "cpu_s": 5.0, "mb": 500.0, "exit": 0, "errors": ""},
}


def test_the_measurement_is_a_section_of_the_results_page_with_limits() -> None:
    section = results_section(ROWS, 3)
    assert section["command"] == "python -m evaluation.startup_time" and section["title"]
    (spec,) = section["tables"]
    assert spec["rows"][1:] == [
        ["watchlist add, one photo", 1.99, 2.0, 4.12, "", 355, 0],
        ["run --engine inline", 5.0, "", 6.5, 6.0, 500, 0],
    ]
    assert "| watchlist add, one photo | 1.99 | 2.0 | 4.12 |" in table(spec)


def test_a_command_above_its_limit_is_named_and_one_without_a_limit_is_not() -> None:
    assert over_limit(ROWS) == ["run --engine inline"]
    assert over_limit({"--help": ROWS["run --engine inline"] | {"cpu_s": 0.2, "exit": 2}}) == ["--help"]


def test_of_several_runs_the_fastest_counts_and_a_failure_is_kept() -> None:
    slow, fast = ROWS["run --engine inline"], ROWS["watchlist add, one photo"] | {"exit": 3, "errors": "why"}
    assert _best(slow, fast) == {"seconds": 4.123, "cpu_s": 1.987, "mb": 500.0, "exit": 3, "errors": "why"}
