"""Replace a person's name in what ``run.json`` reports about the watchlist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from watchlist.jsonl import replace_text

SUMMARY = "run.json"


def replace_name_in_summary(path: Path, name: str, label: str, other_names: Iterable[str] = ()) -> bool:
    """Replace a name in the keys ``watchlist`` of ``run.json``: refused photos, warnings, people not looked for.

    Texts that contain the name are replaced as a whole, because file names and reasons may name the person again.

    Args:
        path: the file; it may be missing or damaged.
        name: the name, as whole words. ``Ann`` is not found in ``Anna``.
        label: the text that replaces it.
        other_names: people on the list. A longer name that contains ``name`` stays. The same name stays as well.

    Returns:
        Whether anything was replaced.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        summary = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return False
    longer = sorted({other for other in other_names if name in other}, key=len, reverse=True)
    if not isinstance(summary, dict) or name in longer:
        return False
    pattern = re.compile("|".join([*map(re.escape, longer), rf"(?<!\w)(?P<name>{re.escape(name)})(?!\w)"]))

    def named(text: object) -> bool:
        return isinstance(text, str) and any(match["name"] is not None for match in pattern.finditer(text))

    def renamed(value: Any) -> Any:
        if isinstance(value, str):
            return label if named(value) else value
        if isinstance(value, list):
            return [renamed(each) for each in value]
        if isinstance(value, dict):
            personal = ("name", "photo") if named(value.get("name")) else ()
            return {key: label if key in personal else renamed(each) for key, each in value.items()}
        return value

    before = json.dumps(summary)
    for part in (summary, *(run for run in summary.get("runs") or () if isinstance(run, dict))):
        if "watchlist" in part:
            part["watchlist"] = renamed(part["watchlist"])
    if json.dumps(summary) == before:
        return False
    replace_text(path, json.dumps(summary, indent=2) + "\n")
    return True
