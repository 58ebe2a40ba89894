"""The settings file says how many people confirm a match."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.run_watchlist import keep_review_rule
from cli.settings import load_settings
from configs import CONFIGS
from pipeline.errors import SettingsError
from watchlist.store import Store


def test_the_settings_file_asks_for_a_second_person_and_the_console_knows(tmp_path: Path) -> None:
    store = Store(tmp_path / "farsight.db")
    keep_review_rule(store, load_settings(CONFIGS / "recording.yaml"))
    assert store.preference("review") is None  # as it is set on the settings page
    given = tmp_path / "two.yaml"
    given.write_text(f"base: {CONFIGS / 'recording.yaml'}\nreview: {{persons: 2}}\n")
    for _ in range(2):
        keep_review_rule(store, load_settings(given))
    assert store.preference("review") == {"persons": 2}
    assert [row["what"] for row in store.audit_rows()] == ["settings"]  # the second start changes nothing
    given.write_text(f"base: {CONFIGS / 'recording.yaml'}\nreview: {{persons: 9}}\n")
    with pytest.raises(SettingsError, match="persons"):
        load_settings(given)
