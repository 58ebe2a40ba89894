"""The console of all commands, and checks of option values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text


class SafeConsole(Console):
    """A console that shows control characters in names, paths and messages, so that the terminal does not execute them."""

    def render_str(self, text: str, **how: Any) -> Text:
        from watchlist.names import printable

        return super().render_str(printable(text), **how)  # before widths are measured

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        from watchlist.names import printable

        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


console = SafeConsole(highlight=False)


def finite(value: float | None) -> float | None:
    """Option callback that refuses "nan" and "inf", which pass every other check."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value
