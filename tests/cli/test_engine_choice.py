"""Which engine runs a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.common import CONFIGS
from cli.engine_choice import choose_engine
from cli.settings import load_settings
from pipeline.protocol import SourceSpec
from tests.clips import write_clip


@pytest.mark.parametrize(
    "seconds, sources, engine", [((0.0, 1.0), 1, "inline"), ((0.0, 61.0), 1, "ray"), ((0.0, 1.0), 2, "ray"), ((), 1, "ray")]
)
def test_only_one_short_recording_runs_inline(tmp_path: Path, seconds: tuple[float, ...], sources: int, engine: str) -> None:
    path = write_clip(tmp_path / "a.mkv", list(seconds)) if seconds else tmp_path / "none.mp4"
    settings = load_settings(CONFIGS / "recording.yaml", engine="auto")
    chosen, why = choose_engine(settings, [SourceSpec(f"s{k}", str(path)) for k in range(sources)])
    assert chosen.engine == engine and why.startswith(f"{engine}: ")


def test_a_named_engine_stays() -> None:
    settings = load_settings(CONFIGS / "recording.yaml", engine="ray")
    assert choose_engine(settings, []) == (settings, "")
