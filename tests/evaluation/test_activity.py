import itertools
from pathlib import Path

import av
import numpy as np

from evaluation.activity import is_found, time_row
from evaluation.quiet_clips import join_copies, sparse_walkers
from tests.clips import write_clip


def track(start_s: float, end_s: float, x: float) -> dict[str, object]:
    times = np.arange(start_s, end_s, 0.2)
    return {"path": np.array([[t, x, 10, x + 20, 30] for t in times], np.float32)}


def test_a_track_is_found_if_another_one_overlaps_it_in_time_and_place() -> None:
    assert is_found(track(0, 4, 10), [track(3, 9, 14)])
    assert not is_found(track(0, 4, 10), [track(3, 9, 60)])
    assert not is_found(track(0, 4, 10), [track(6, 9, 10)])


def test_somebody_walks_for_the_share_of_the_time_that_was_asked_for() -> None:
    walkers = sparse_walkers(3600, 0.05, 1)
    walked = sum(w.end_s - w.start_s for w in walkers)
    assert 0.04 < walked / 3600 < 0.06
    assert all(a.end_s < b.start_s for a, b in itertools.pairwise(walkers))


def test_a_day_is_extrapolated_from_the_further_copies() -> None:
    one = {"seconds": 20.0, "cpu_s": 30.0, "source": {"position_s": 100.0}}
    many = {"seconds": 30.0, "cpu_s": 50.0, "source": {"position_s": 900.0}}
    assert time_row("a", "safe", one, many)[2:] == [900, 80.0, 40.0, 18, 36]


def test_joined_copies_leave_out_the_first_group_of_the_further_ones(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", [k / 10 for k in range(40)])
    with av.open(str(join_copies(clip, tmp_path / "b.mp4", 3))) as container:
        stream = container.streams.video[0]
        times = sorted(float(p.pts * p.time_base) for p in container.demux(stream) if p.size)
    assert len(times) == 40 + 2 * 30
    assert np.allclose(np.diff(times), 0.1)
