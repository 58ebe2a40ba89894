"""The console's style sheet: one palette for both themes."""

from __future__ import annotations

import re

from console.app import STATIC


def test_every_colour_has_one_definition_for_the_light_and_the_dark_theme() -> None:
    sheet = (STATIC / "app.css").read_text()
    names = re.findall(r"(--[a-z-]+): ", sheet)
    assert len(names) == len(set(names)) > 20 and "--bg: light-dark(" in sheet
    for theme in ("light", "dark"):
        assert f':root[data-theme="{theme}"] {{ color-scheme: {theme}; }}' in sheet
