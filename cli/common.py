"""Names that several commands use, re-exported: console, databases, models, engines."""

from __future__ import annotations

from pathlib import Path

from cli.databases import DATABASE, database_path, open_own_list, open_store
from cli.engines import context_of, make_engine
from cli.gate import Recognizer, card_of, open_gate
from cli.terminal import SafeConsole, console, finite
from configs import CONFIGS
from watchlist.output_folder import PREVIEWS

__all__ = [
    "CONFIGS",
    "DATABASE",
    "PREVIEWS",
    "ROOT",
    "Recognizer",
    "SafeConsole",
    "card_of",
    "console",
    "context_of",
    "database_path",
    "finite",
    "make_engine",
    "open_gate",
    "open_own_list",
    "open_store",
]
ROOT = Path(__file__).resolve().parents[1]
