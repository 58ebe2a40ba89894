"""Settings files that ship with the program."""

from pathlib import Path

CONFIGS = Path(__file__).resolve().parent
