"""Half an hour of the same clip, again and again: resident memory over all processes must not grow."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from synthetic.corridor import render_clip, repeat_clip
from synthetic.memory import total_pss_mb
from tests.running import command, farsight

MINUTES = float(os.environ.get("FARSIGHT_SOAK_MINUTES", "20"))
SETTLED_S = 120.0
FASTEST = 6  # the clip is made long enough for a machine so many times faster than real time


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["ray"])
def test_memory_is_flat(tmp_path: Path, engine: str) -> None:
    clip = render_clip(tmp_path / "clip", seconds=20.0, width=640, walkers=8, fps=15)
    people = tmp_path / "people.db"
    assert farsight("watchlist", "import", tmp_path / "clip" / "people", "--db", people).returncode == 0
    looped = repeat_clip(clip, tmp_path / "looped.mkv", times=round(MINUTES * 60 * FASTEST / 20))
    arguments = ["run", "--source", looped, "--watchlist", people]
    process = subprocess.Popen(
        command(*arguments, "--out", tmp_path / "out", "--engine", engine, "--no-video"), stdout=subprocess.DEVNULL
    )
    samples: list[tuple[float, float]] = []
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < 60 * MINUTES:
        assert process.poll() is None, "it ended early"
        time.sleep(5)
        samples.append((elapsed, total_pss_mb(process.pid)))
        if len(samples) % 12 == 0:
            print(f"{elapsed / 60:5.1f} min  {samples[-1][1]:7.0f} MB", flush=True)
    process.terminate()
    process.wait(timeout=60)
    times, sizes = np.array([s for s in samples if s[0] > SETTLED_S]).T
    early, late = sizes[: len(sizes) // 5].mean(), sizes[-len(sizes) // 5 :].mean()
    print(f"minute {times[0] / 60:.0f}: {early:.0f} MB, minute {times[-1] / 60:.0f}: {late:.0f} MB")
    assert late < 1.05 * early + 20
