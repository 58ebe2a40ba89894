"""Each alert is shown on the console, once."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path

import pytest
from rich.console import Console

from cli.alert_lines import AlertPrinter
from watchlist.alert_tables import Alert
from watchlist.store import Store


def tell(store: Store, key: str, kind: str = "match", score: float | None = 0.5881) -> None:
    content = {"kind": kind, "camera": "gate", "name": "Chen [bold]", "score": score, "threshold": 0.4216, "face_px": 14.2}
    store.put_alerts([Alert(key, kind, 1.7e9, "gate", key, 2, json.dumps({**content, "crop": f"crops/{key}.png"}))], ["file"])


def test_each_alert_since_the_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "f.db")
    tell(store, "of yesterday")
    out = io.StringIO()
    lines = AlertPrinter(Store(tmp_path / "f.db"), Console(file=out, width=60))
    lines.print_new()
    assert out.getvalue() == ""
    tell(store, "t1")
    tell(store, "t2", "withdrawn", None)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "last_alert_number", lambda self: (_ for _ in ()).throw(sqlite3.OperationalError("locked")))
        lines.print_new()
    lines.print_new()
    lines.print_new()
    first, second = out.getvalue().splitlines()
    assert "match at gate: Chen [bold], score 0.588 (threshold 0.422), 14 px, crops/t1.png" in first
    assert "withdrawn at gate: Chen [bold], 14 px, crops/t2.png" in second
    store._db.execute("DELETE FROM alerts")  # a purge
    lines.print_new()
    tell(store, "t3")
    lines.print_new()
    assert "crops/t3.png" in out.getvalue().splitlines()[-1]
