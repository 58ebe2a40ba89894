"""A group of commands whose modules are imported only when called, so that ``--version`` and ``--help`` are fast."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


class LazyGroup(TyperGroup):
    """Commands by name, each imported when it is called or completed.

    Attributes:
        lazy: for each command name its location (``module:function``, or ``module:app`` for a group) and its line of help. The
            line must be the first paragraph of the command's docstring.
    """

    lazy: ClassVar[dict[str, tuple[str, str]]]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, line) in self.lazy.items():
            self.add_command(TyperCommand(name, help=line))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command of a command line, and import it."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        return name, load_command(name, self.lazy[name][0]) if name in self.lazy else placeholder, rest


def load_command(name: str, target: str) -> Any:
    """Import a command.

    Args:
        name: its name on the command line.
        target: ``module:function`` or ``module:app``.
    """
    module, _, attribute = target.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        one = typer.Typer(add_completion=False)
        one.command(name)(found)
        found = one
    command = get_command(found)
    command.name = name
    return command
