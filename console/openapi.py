"""Write ``openapi.json``, the description of the API: `python -m console.openapi`. A test compares it with the application."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "openapi.json"


def describe() -> dict[str, Any]:
    """The description of the application's API."""
    from console.app import make_app
    from watchlist.store import Store

    with tempfile.TemporaryDirectory() as folder:
        Store(Path(folder) / "farsight.db").close()
        return dict(make_app(Path(folder) / "farsight.db").openapi())


def text() -> str:
    return json.dumps(describe(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
