"""Options that are numbers take none without end: "nan" would pass every comparison."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from cli import app


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("live", "--config", "none.yaml", "--duration"),
        ("search", "a.jpg", "--db", "none", "--fpir"),
        ("search", "a.jpg", "--db", "none", "--least-px"),
        ("purge", "--db", "none", "--match"),
        ("bench", "--seconds"),
        ("demo", "--seconds"),
    ],
)
def test_numbers_without_end_are_refused(arguments: tuple[str, ...], value: str) -> None:
    done = CliRunner().invoke(app, [*arguments[:-1], f"{arguments[-1]}={value}"])
    assert done.exit_code == 2 and ("finite" in done.output or "Input should be" in done.output)
