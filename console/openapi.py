"""Write ``openapi.json``, the OpenAPI description: `python -m console.openapi`. A test compares it with the application."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "openapi.json"


def describe() -> dict[str, Any]:
    """The OpenAPI description of the application."""
    from console.app import make_app
    from watchlist.store import Store

    with tempfile.TemporaryDirectory() as folder:
        Store(Path(folder) / "farsight.db").close()
        return dict(make_app(Path(folder) / "farsight.db").openapi())


def text() -> str:
    """The description as the text of ``openapi.json``."""
    return json.dumps(describe(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
