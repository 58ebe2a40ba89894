"""A resumed run decides finished tracks anew only where list, rate or thresholds have changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cli.run_watchlist import update_decisions
from cli.settings import load_settings
from configs import CONFIGS
from models import recognizer_card
from watchlist import decision
from watchlist.store import Store


def test_the_same_list_and_rate_touch_no_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, calls = Store(tmp_path / "f.db"), []
    monkeypatch.setattr(decision, "redecide_tracks", lambda *given: calls.append(given[-1]) or 0)
    person = store.add_identity("Ada")
    store.add_enrolment(person, "a.png", "1", b"", np.eye(1, 256, dtype=np.float32)[0], recognizer_card()["sha256"], 0.9, 80.0)
    for fpir in (0.01, 0.01, 0.02, 0.02, 0.01):
        update_decisions(store, load_settings(CONFIGS / "recording.yaml", fpir=fpir))
    assert calls == [0.01, 0.02, 0.01]
    store.update_identity(person, name="Ada L")
    update_decisions(store, load_settings(CONFIGS / "recording.yaml"))
    assert len(calls) == 4
