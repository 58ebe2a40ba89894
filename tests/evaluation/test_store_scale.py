"""Store at scale: what its measurement writes for the results page."""

from __future__ import annotations

import sys

from evaluation.results import table
from evaluation.store_scale import results_section
from evaluation.timed_command import run_timed

ROWS = {
    "export": {"seconds": 0.987, "mb": 148.4, "exit": 0, "errors": ""},
    "report": {"seconds": 3.523, "mb": 148.4, "exit": 0, "errors": "", "report_mb": 2.22},
    "page of /api/sightings": {"seconds": 0.0395, "median_s": 0.0119, "kb": 77.4, "mb": 112.6, "exit": 0},
}


def test_the_measurement_is_a_section_of_the_results_page_with_one_number_a_cell() -> None:
    section = results_section(ROWS, 500_000, 20_000, 1676.9)
    assert section["command"] == "python -m evaluation.store_scale --out scale/"
    assert "500,000 tracks of 16 cameras over 90 days, 20,000 people; database of 1,677 MB" in section["data"]
    assert section["machine"].split()[1:3] == ["CPU", "cores"] and section["date"].count("-") == 1 and section["title"]
    (spec,) = section["tables"]
    assert spec["rows"] == [
        ["export", 0.99, 2.0, 148, 0],
        ["report", 3.52, 10.0, 148, 0],
        ["page of /api/sightings", 0.04, 0.2, 113, 0],
    ]
    assert "| export | 0.99 | 2.0 | 148 | 0 |" in table(spec) and "2.2 MB of at most 20 MB" in spec["note"]


def test_the_command_of_a_smaller_measurement_says_how_small() -> None:
    section = results_section(ROWS, 5_000, 200, 17.0)
    assert section["command"] == "python -m evaluation.store_scale --out scale/ --tracks 5000 --people 200"


def test_the_peak_memory_is_the_one_of_the_command_and_not_of_the_process_that_measures() -> None:
    ballast = bytearray(200_000_000)
    row = run_timed([sys.executable, "-c", "import sys; print('out'); sys.exit('why')"])
    assert row["mb"] < len(ballast) / 2e6 and row["cpu_s"] > 0 and row["exit"] == 1 and row["errors"] == "why"
