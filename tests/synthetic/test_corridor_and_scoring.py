import json
from pathlib import Path

import av
import numpy as np

from synthetic.corridor import make_walkers
from synthetic.scoring import score


def test_the_clip_holds_what_its_truth_says(corridor: Path) -> None:
    truth = json.loads((corridor / "truth.json").read_text())
    with av.open(str(corridor / "corridor.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 80 and frames[0].shape == (360, 640, 3)
    assert len(truth["walkers"]) == 4 and sum(w["walker"]["enrolled"] for w in truth["walkers"]) == 2
    assert sorted(p.name for p in (corridor / "people").iterdir()) == sorted(
        w["walker"]["name"] for w in truth["walkers"] if w["walker"]["enrolled"]
    )
    for walker in truth["walkers"]:
        widths = [b[3] - b[1] for b in walker["boxes"]]
        assert widths[-1] > 2 * widths[0]  # they come nearer
        time, x1, y1, x2, y2 = walker["boxes"][-1]
        face = frames[round(time * 10)][int(y1) : int(y2), int(x1) : int(x2)]
        assert face[..., 0].mean() > face[..., 2].mean()  # skin is redder than blue


def test_the_demo_has_the_sizes_it_promises() -> None:
    walkers = make_walkers(10, 24.0, 1)
    assert sum(w.enrolled for w in walkers) == 4 and len({w.name for w in walkers}) == 10
    assert all(0 <= w.start_s < w.end_s <= 24.01 for w in walkers)


def track(outcome: str, name: str | None, x: float) -> dict:
    path = np.array([[t / 10, x, 10, x + 20, 40] for t in range(10)], np.float32)
    return {"path": path.tobytes(), "outcome": outcome, "name": name}


def walker(name: str, enrolled: bool, x: float) -> dict:
    return {"walker": {"name": name, "enrolled": enrolled}, "boxes": [[t / 10, x, 10, x + 20, 40] for t in range(10)]}


def test_walkers_are_found_missed_or_falsely_reported() -> None:
    truth = [
        walker("Ada", True, 0),
        walker("Bo", True, 100),
        walker("Cem", False, 200),
        walker("Dia", False, 300),
        walker("Eve", True, 400),
    ]
    tracks = [
        track("match", "Ada", 2),
        track("no_match", None, 100),
        track("match", "Ada", 203),
        track("not_assessable", None, 300),
        track("match", "Bo", 900),
    ]
    found = score(truth, tracks)
    assert [w.outcome for w in found.walkers] == ["found", "missed", "false", "rightly unmatched", "missed, not tracked"]
    assert (found.found, found.missed, found.false, found.false_tracks) == (1, 2, 2, 1)
