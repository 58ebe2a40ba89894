import itertools
from dataclasses import replace

import numpy as np
import pytest

from models.chip import TEMPLATE
from models.faces import Faces
from pipeline.checkpoint_format import pack, unpack
from stages.records import DetectedFrame, Frame
from stages.select import Select
from stages.track import Track
from stages.tracking.lost_budget import LostTrackBudget


def frame(
    pts_s: float, centres: list[tuple[float, float]], chip: np.ndarray | None = None, score: float = 0.9, size: float = 40.0
) -> DetectedFrame:
    """A frame with a face of ``size`` pixels at each centre."""
    image = np.full((240, 320, 3), 90, np.uint8)
    boxes, marks = [], []
    scale = size / 80.5
    for x, y in centres:
        boxes.append([x - size / 2, y - size * 0.67, x + size / 2, y + size * 0.67])
        marks.append((TEMPLATE - 64) * scale + (x, y))
        if chip is not None:
            import cv2

            side = round(128 * scale)
            small = cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA)
            top, left = round(y - side / 2), round(x - side / 2)
            image[top : top + side, left : left + side] = small
    faces = Faces(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(marks, np.float32).reshape(-1, 5, 2),
        np.full(len(boxes), score, np.float32),
    )
    return DetectedFrame(Frame("cam", round(pts_s * 10), pts_s, image), faces)


def follow(frames: list[DetectedFrame], **keywords: object) -> list:
    track, select = Track(), Select(**keywords)
    track.open(), select.open()
    out = [t for f in frames for t in select.process(track.process([f]))]
    return out + select.flush()


def test_two_people_are_two_tracks(chips: np.ndarray) -> None:
    frames = [frame(k / 5, [(60 + 8 * k, 100), (250 - 6 * k, 160)], chips[0]) for k in range(12)]
    tracks = [t for t in follow(frames) if t.final]
    assert len(tracks) == 2
    assert {len(t.path) for t in tracks} == {11}  # the first detection only proposes a track
    assert all(len(t.shots) == 5 and t.shots[0].quality >= t.shots[-1].quality for t in tracks)
    assert all(t.shots[0].chip.shape == (64, 64, 3) for t in tracks)


def numbers(frames: list[DetectedFrame]) -> list[list[int]]:
    """The track of each face in each frame."""
    track = Track()
    track.open()
    return [item.tracks.tolist() for item in track.process(frames)]


@pytest.mark.parametrize("step", [0.2, 0.95, 1.5, 2.4])  # face widths from one search to the next
def test_a_person_crossing_the_frame_is_one_track(step: float) -> None:
    there = [frame(k / 5, [(20 + 12 * step * k, 60)], size=12.0) for k in range(8)]
    assert numbers(there) == [[-1]] + [[0]] * 7
    opposite = [(300 - 12 * step * k, 150) for k in range(8)]
    both = [frame(k / 5, [(20 + 12 * step * k, 60), opposite[k]], size=12.0) for k in range(8)]
    assert {tuple(found) for found in numbers(both)[1:]} in ({(0, 1)}, {(1, 0)})


@pytest.mark.parametrize("apart_s", [0.4, 0.6, 1.0])
def test_a_person_crossing_a_frame_that_is_seldom_searched_is_one_track(apart_s: float) -> None:
    there, found = [[(10 + 105 * apart_s * k, 60), (310 - 90 * apart_s * k, 150)] for k in range(4)], [[-1, -1]] + [[0, 1]] * 3
    assert numbers([frame(k * apart_s, centres, size=12.0) for k, centres in enumerate(there)]) == found


@pytest.mark.parametrize("apart_s", [1.4, 1.6, 4.0])
def test_a_person_who_stays_in_a_time_lapse_is_one_track(chips: np.ndarray, apart_s: float) -> None:
    (track,) = (t for t in follow([frame(k * apart_s, [(100, 100)], chips[0]) for k in range(6)]) if t.final)
    assert len(track.path) == 5


def test_one_long_gap_does_not_make_a_time_lapse() -> None:
    pace = LostTrackBudget()
    found = [pace.limit_s(at, 1.5) for at in (0.0, 0.2, 3.2, 3.4, 6.4, 9.4, 39.4, 69.4)]
    assert found == pytest.approx([1.5] * 4 + [7.5, 7.5, 7.5, 10.0])


@pytest.mark.parametrize("away_s", [0.6, 1.0, 1.4])
def test_a_small_face_that_trembles_and_is_missed_for_a_while_is_one_track(away_s: float) -> None:
    rng, broken = np.random.default_rng(0), 0
    for _ in range(10):
        frames = []
        for k in range(30):
            seen = not 2.0 < k / 5 < 2.0 + away_s
            frames.append(frame(k / 5, [(100, 100)] if seen else [], size=12.0))
            frames[-1].faces.boxes[:] += rng.normal(0, 0.5, (int(seen), 4))
        broken += {n for row in numbers(frames) for n in row} != {-1, 0}
    assert broken == 0


def test_a_new_face_at_a_walkers_last_position_is_a_new_track() -> None:
    walker, follower = [(20 + 21 * k, 60) for k in range(8)], [(20 + 21 * (k - 1), 60) for k in range(8)]
    frames = [frame(k / 5, [walker[k]], size=14.0) for k in range(5)]
    frames += [frame(1.0, [follower[5]], size=14.0)]
    frames += [frame(k / 5, [walker[k], follower[k]], size=14.0) for k in (6, 7)]
    assert numbers(frames) == [[-1], [0], [0], [0], [0], [-1], [0, 1], [0, 1]]


def test_irregular_search_intervals_break_no_track() -> None:
    found = numbers([frame(at, [(100, 100)]) for at in np.cumsum([0.0, 1.0, 3.0] + [1.0, 3.0] * 5)])
    assert found[4:] == [found[4]] * 9


def test_tracks_that_have_ended_are_forgotten() -> None:
    track = Track()
    track.open()
    track.process([frame(k / 5, [(100, 20 + 50 * (k // 30 % 4))]) for k in range(300)])
    assert len(track.state()["last"]) <= 2


def test_a_face_detected_in_every_other_frame_is_one_track() -> None:
    walking = [frame(k / 5, [(20 + 6 * k, 60)] if k % 2 == 0 else [], size=12.0) for k in range(9)]
    assert numbers(walking)[2::2] == [[0]] * 4


@pytest.mark.parametrize(("x", "size"), [(80, 12.0), (50, 24.0)])
def test_a_face_far_away_or_of_another_size_is_a_new_track(x: float, size: float) -> None:
    frames = [frame(0.0, [(20, 60)], size=12.0), *(frame(k / 5, [(x, 60)], size=size) for k in (1, 2))]
    track = Track()
    track.open()
    assert [item.tracks.tolist() for item in track.process(frames)] == [[-1], [-1], [0]]
    track.process([frame(k / 5, []) for k in range(3, 20)])
    track.flush()
    assert track.counters()["sure faces seen once only"] == 1


@pytest.mark.parametrize(("gap", "tracks"), [(1.0, 1), (4.0, 2)])
def test_a_gap_is_bridged_by_seconds_not_frames(chips: np.ndarray, gap: float, tracks: int) -> None:
    before = [frame(k / 5, [(100, 100)], chips[0]) for k in range(6)]
    after = [frame(1.0 + gap + k / 5, [(100, 100)], chips[0]) for k in range(6)]
    assert len([t for t in follow([*before, *after]) if t.final]) == tracks


@pytest.mark.parametrize(
    ("x", "size", "tracks"),
    [
        (120, 40.0, 1),  # went on as it had gone before
        (172, 40.0, 2),  # more than a face's width from there
        (120, 24.0, 2),  # much smaller
    ],
)
def test_a_face_that_returns_elsewhere_is_a_new_track(chips: np.ndarray, x: float, size: float, tracks: int) -> None:
    before = [frame(k / 5, [(80 + 5 * k, 100)], chips[0]) for k in range(6)]  # 25 pixels a second
    away = [frame(1.2, []), frame(1.4, [])]
    after = [frame(1.6 + k / 5, [(x + 5 * k, 100)], chips[0], size=size) for k in range(6)]
    assert len([t for t in follow([*before, *away, *after]) if t.final]) == tracks


def test_a_long_track_reports_early_and_then_refines(chips: np.ndarray) -> None:
    nearer = [frame(k / 2, [(100, 100)], chips[0], size=40.0 + k) for k in range(60)]
    reports = follow(nearer, report_every_s=10.0)
    assert [r.version for r in reports] == [1, 2, 3]
    assert [r.final for r in reports] == [False, False, True]
    still = follow([frame(k / 2, [(100, 100)], chips[0]) for k in range(120)], report_every_s=10.0)
    assert len(still) == 2  # nothing new to see is nothing to report
    assert len({r.track for r in reports}) == 1


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"size": 8.0}, "too_small"),
        ({"score": 0.65}, "low_score"),
        ({"centres": [(4, 100)]}, "cut_by_frame"),
        ({"chip": None}, "blurred"),  # no face drawn: a flat patch
    ],
)
def test_rejected_shots_are_counted_by_reason(chips: np.ndarray, keywords: dict, reason: str) -> None:
    arguments = {"centres": [(100, 100)], "chip": chips[0], **keywords}
    if reason == "cut_by_frame":
        arguments["chip"] = None
    tracks = follow([frame(k / 5, **arguments) for k in range(5)], min_score=0.7)
    assert tracks[0].shots == () and reason in tracks[0].reasons
    assert tracks[0].rejected is not None and tracks[0].rejected.crop[:4] == b"\x89PNG"


@pytest.mark.parametrize("cut", [1, 6, 9])
def test_a_run_resumed_from_a_checkpoint_finds_the_same_tracks(chips: np.ndarray, cut: int) -> None:
    """Two people who pass each other, one of whom is away for a moment."""
    frames = [
        frame(k / 5, [(60 + 8 * k, 100), *([(250 - 9 * k, 160)] if k not in (5, 6) else [])], chips[0] if k else None)
        for k in range(14)
    ]
    whole = follow(frames)
    track, select = Track(), Select()
    track.open(), select.open()
    for f in frames[:cut]:
        select.process(track.process([f]))
    kept = unpack(pack([track.state(), select.state()]))
    track2, select2 = Track(), Select()
    track2.open(), select2.open()
    track2.restore(kept[0]), select2.restore(kept[1])
    assert pack([track2.state(), select2.state()]) == pack([track.state(), select.state()])
    for f in frames[cut:]:
        select2.process(track2.process([f]))
    again = select2.flush()
    assert [t.track for t in again] == [t.track for t in whole] and len(whole) == 2
    for one, other in zip(again, whole, strict=True):
        assert (one.path == other.path).all() and one.reasons == other.reasons
        assert [(s.pts_s, s.quality, s.crop) for s in one.shots] == [(s.pts_s, s.quality, s.crop) for s in other.shots]
        assert all((a.chip == b.chip).all() for a, b in zip(one.shots, other.shots, strict=True))


def test_a_live_track_is_reported_as_soon_as_it_has_enough_shots(chips: np.ndarray) -> None:
    frames = [frame(k / 5, [(60 + 4 * k, 100)], chips[0]) for k in range(12)]
    early = follow(frames, early_shots=3, report_every_s=100.0)
    assert [(t.version, t.final) for t in early] == [(1, False), (2, True)]
    assert len(early[0].shots) == 3 and early[0].end_s < early[1].end_s


def test_names_of_live_tracks_are_never_reused(chips: np.ndarray) -> None:
    frames = [frame(k / 5, [(60 + 4 * k, 100)], chips[0]) for k in range(3)]
    first, second = (follow(frames, dated_tracks=True)[0].track for _ in range(2))
    assert first != second and first[:8].isdigit()


def test_names_do_not_depend_on_what_was_read_before(chips: np.ndarray) -> None:
    frames = [frame(k / 5, [(60 + 4 * k, 100), (250, 160)], chips[0]) for k in range(4)]
    track = Track()
    track.open()
    first = [item.tracks.tolist() for item in track.process(frames)]
    track.flush()
    assert [item.tracks.tolist() for item in track.process(frames)] == first and max(first[-1]) == 1


ROUNDED = {
    "in tenths": lambda s: s,
    "of a TS": lambda s: round(s * 90000) / 90000,
    "of a TS that begins late": lambda s: (round((s + 1.4) * 90000) - 126000) / 90000,
    "of a Matroska": lambda s: round(s, 3),
    "in floats": lambda s: (s + 3600.3) - 3600.3,
}


@pytest.mark.parametrize("rate", [5, 10, 15, 25, 30])
def test_the_same_film_has_the_same_shots_in_every_container(chips: np.ndarray, rate: int) -> None:
    """Each rounds its stamps in its own way: .6 - .4 is less than .2, and so is .233 - .033 - 1 ms."""
    kept = {}
    for name, stamp in ROUNDED.items():
        frames = [frame(stamp(k / rate), [(60 + 40 * k / rate, 100)], chips[0]) for k in range(2 * rate)]
        frames += [frame(stamp(2 + k / rate), [], None) for k in range(2 * rate)]
        tracks = follow(frames, report_every_s=0.8, lost_s=1.0, longest_s=1.4, apart_s=0.2)
        kept[name] = [
            (t.version, t.final, round(t.start_s, 2), round(t.end_s, 2), sorted(round(s.pts_s, 2) for s in t.shots))
            for t in tracks
        ]
    assert all(found == kept["in tenths"] for found in kept.values()), kept
    if rate in (5, 10):
        assert all(b - a >= 0.199 for *_, shots in kept["in tenths"] for a, b in itertools.pairwise(shots))


def test_a_damaged_frame_gives_no_shot(chips: np.ndarray) -> None:
    frames = [frame(k / 5, [(60 + 8 * k, 100)], chips[0]) for k in range(12)]
    smeared = [replace(f, frame=replace(f.frame, damaged=k % 4 != 3)) for k, f in enumerate(frames)]
    (track,) = (t for t in follow(smeared) if t.final)
    assert [s.pts_s for s in sorted(track.shots, key=lambda s: s.pts_s)] == pytest.approx([0.6, 1.4, 2.2])
    assert track.reasons == {"corrupt_frame": 8}
    (track,) = (t for t in follow([replace(f, frame=replace(f.frame, damaged=True)) for f in frames]) if t.final)
    assert track.shots == () and track.rejected is not None


def test_a_video_that_changes_its_size_begins_every_track_anew(chips: np.ndarray) -> None:
    small = [frame(k / 5, [(60 + 4 * k, 100)], chips[0]) for k in range(6)]
    large = [frame(1.2 + k / 5, [(84 + 4 * k, 100)], chips[0]) for k in range(6)]
    for item in large:
        object.__setattr__(item.frame, "image", np.pad(item.frame.image, ((0, 120), (0, 160), (0, 0)), mode="edge"))
    assert len({t.track for t in follow(small + large) if t.final}) == 2


def test_frames_without_a_face_that_starts_a_track_change_nothing_about_the_tracks_after_them() -> None:
    """The tracking library is imported when a face starts a track; a checkpoint before that holds no tracker."""
    quiet = [frame(k / 5, [(200, 50)] if k % 2 else [], score=0.3) for k in range(6)]
    walk = [frame(1.2 + k / 5, [(60 + 8 * k, 100)]) for k in range(5)]
    assert numbers(quiet + walk) == [[-1] if k % 2 else [] for k in range(6)] + numbers(walk)
    first, second = Track(), Track()
    first.open(), second.open()
    first.process(quiet)
    kept = unpack(pack(first.state()))
    assert kept["tracker"] is None
    second.restore(kept)
    assert [item.tracks.tolist() for item in second.process(walk)] == numbers(walk)
    assert pack(second.state()) == pack((first.process(walk), first.state())[1])
    first.flush()
    assert first.counters()["detections without a track"] == 3 + 1
