"""``bench``: measure the speed of decoding, of each stage and of both engines in one run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.common import CONFIGS, console, finite
from cli.settings import load_settings
from pipeline.errors import SettingsError


def command(
    source: Annotated[Path | None, typer.Option(help="a recording; default: a synthetic 1080p clip")] = None,
    seconds: Annotated[float, typer.Option(callback=finite, min=4, help="length of the synthetic clip in seconds")] = 60.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the figures to this file")] = None,
) -> None:
    """Measure decoding alone, each stage, and both engines on the same recording."""
    from synthetic.throughput import measure

    if json_file and not json_file.absolute().parent.is_dir():  # reported at once, not after minutes
        raise SettingsError(f"--json {json_file}: no such folder; make it first")
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(CONFIGS / "recording.yaml")
        result = measure(settings, settings.fpir, source, seconds, Path(folder), console)
    table = Table("what", "s", "of real time", "x real time", box=None)
    for row in result["rows"]:
        table.add_row(
            row["what"], f"{row['seconds']:.1f}", f"{row['share']:.2f}", f"{1 / row['share']:.1f}" if row["share"] else ""
        )
    console.print(table)
    for line in result["ratios"]:
        console.print(line, markup=False)
    if json_file:
        json_file.write_text(json.dumps(result, indent=2) + "\n")
