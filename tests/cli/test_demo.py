"""The demo's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app


def test_a_demo_that_was_interrupted_while_it_rendered_can_be_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def render(out: Path, *_: object, **__: object) -> Path:
        calls.append(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "half.mp4").write_bytes(b"x")
        raise KeyboardInterrupt

    monkeypatch.setattr("synthetic.corridor.render_clip", render)
    for _ in range(2):
        CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo")])
    assert len(calls) == 2


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert "no demo" in str(done.exception) and (tmp_path / "thesis.txt").exists()
