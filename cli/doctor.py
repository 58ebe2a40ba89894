"""``doctor``: check the installation and show what this machine would use."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import typer
from rich.table import Table

from cli.common import console
from pipeline.engine import cores
from pipeline.monitoring.versions import MISSING, versions


def command() -> None:
    """Check the installation. The exit code is 1 if something required is missing."""
    import torch

    from models import load_detector, load_recognizer, load_superres
    from models.runtime.devices import compute_dtype
    from models.runtime.int8 import int8_is_faster

    table = Table("check", "finding", box=None)
    for name, version in versions().items():
        table.add_row(name, f"[red]{version}[/red]" if version == MISSING else version)
    table.add_row("cores", str(cores()))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    table.add_row("device", torch.cuda.get_device_name(0) if device == "cuda" else "cpu")
    table.add_row("numbers", "{}: {}".format(*compute_dtype(device)))
    if int8_is_faster(torch.device(device)):
        table.add_row("numbers of the detector", "int8: the processor multiplies bytes itself")
    problems = list(versions().values()).count(MISSING)
    for name, load in (("detector", load_detector), ("super-resolution", load_superres), ("recogniser", load_recognizer)):
        try:
            load()
            table.add_row(name, "weights fit their card")
        except (ValueError, OSError) as error:
            problems += 1
            table.add_row(name, f"[red]{error}[/red]")
    table.add_row("Ray", f"joins {os.environ['RAY_ADDRESS']}" if os.environ.get("RAY_ADDRESS") else "starts its own, on loopback")
    free = shutil.disk_usage(Path(tempfile.gettempdir())).free / 1e9
    table.add_row("free in the temporary folder", f"{free:.1f} GB")
    console.print(table)
    if problems:
        raise typer.Exit(1)
