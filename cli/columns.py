"""Print tables on the terminal, fast enough for a hundred thousand rows."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.cells import cell_len

WIDEST = 40  # characters; longer cells are printed in full, out of alignment


def print_columns(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in aligned columns below their heads. Control characters are printed as question marks."""
    table = [tuple(heads), *(tuple(map(_shown, row)) for row in rows)]
    widths = [min(WIDEST, max(map(cell_len, column))) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _shown(value: object) -> str:
    text = "" if value is None else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
