"""Search over the past: right against NumPy, current after every change, and true to its filters."""

from __future__ import annotations

import json
from pathlib import Path

import faiss
import numpy as np
import pytest

from tests.stages.test_annotate import PATH, row
from watchlist import template_index
from watchlist.database import StoreError
from watchlist.search_back import DatabaseTracks, TrackSearch
from watchlist.store import Store
from watchlist.template_index import TemplateIndex, index_folder
from watchlist.thresholds import Thresholds
from watchlist.tracks import TrackFilter

THRESHOLDS = Thresholds(
    [{"face_px": 1e9, "log10_fmr": [-1, -2, -3], "scores": [0.3, 0.4, 0.5], "tail": {"shape": 0.0, "scale": 0.05}}]
)
RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((300, 32)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def put(store: Store, numbers: range, final: bool = True, version: int = 1, **more: object) -> None:
    store.put_tracks(
        [
            row(PATH)
            | {
                "source": f"cam{n % 3}",
                "track": f"t{n:03d}",
                "version": version,
                "final": int(final),
                "template": VECTORS[n].astype(np.float16).tobytes(),
                "recognizer": "r",
                "start_s": float(n),
                "end_s": float(n + 1),
                "started_at": 1e9 + n if n % 2 else None,
                "ended_at": 1e9 + n + 1 if n % 2 else None,
                "face_px": 10.0 + n,
            }
            | more
            for n in numbers
        ]
    )


@pytest.fixture(params=["in memory", "kept"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(template_index, "MIN_SAVED_TEMPLATES", 1 if request.param == "kept" else 10**9)
    return Store(tmp_path / "f.db")


def found(store: Store, probe: int, **where: object) -> list[str]:
    hits, _ = TrackSearch(DatabaseTracks(store, "r"), THRESHOLDS).search(VECTORS[probe][None], 5, 0.01, TrackFilter(**where))  # type: ignore[arg-type]
    return [hit.row["track"] for hit in hits]


def oracle(probe: int, keep: list[int]) -> list[str]:
    scores = VECTORS[keep].astype(np.float16).astype(np.float32) @ VECTORS[probe]
    return [f"t{keep[i]:03d}" for i in np.argsort(-scores)[:5]]


def test_search_back_agrees_with_numpy_under_every_filter(store: Store) -> None:
    put(store, range(300))
    everything = list(range(300))
    assert found(store, 7) == oracle(7, everything)
    assert found(store, 7, source="cam1") == oracle(7, everything[1::3])
    assert found(store, 7, since_s=200.0) == oracle(7, everything[199:])
    assert found(store, 7, since_at=1e9 + 100.5) == oracle(7, [n for n in everything if n % 2 and n + 1 > 100.5])
    assert found(store, 7, until_at=1e9 + 50) == oracle(7, [n for n in everything if n % 2 and n <= 50])
    assert found(store, 7, least_px=300.0) == oracle(7, everything[290:])
    assert found(store, 7, source="nowhere") == []
    assert store.count_undated() == 150


def test_it_follows_new_changed_and_deleted_tracks(store: Store) -> None:
    put(store, range(100))
    assert found(store, 3)[0] == "t003"
    put(store, range(100, 120), final=False)
    assert "t105" not in found(store, 105)  # not finished yet
    put(store, range(110, 112))
    put(store, range(100, 120), version=2)
    assert found(store, 105)[0] == "t105"
    store.put_tracks(
        [
            {
                **store.tracks("cam2")[0],
                "version": 9,
                "template": VECTORS[250].astype(np.float16).tobytes(),
                "reasons": "[]",
                "best_box": None,
            }
        ]
    )
    assert found(store, 250)[0] == "t002" and "t002" not in found(store, 2)[:1]
    store.delete_tracks([("cam0", track["track"]) for track in store.tracks("cam0", final_only=False)])
    assert all(int(name[1:]) % 3 for name in found(store, 3))
    assert len(TemplateIndex(store)) == 80


def test_a_purge_removes_tracks_alerts_and_vectors(store: Store) -> None:
    put(store, range(100), outcome="no_match")
    found(store, 3)
    gone = store.ended_before(1e9 + 50.5, "no_match")
    store.delete_tracks(gone)
    assert len(gone) == 25  # those whose hour is known and that ended before
    again = TemplateIndex(store)
    assert len(again) == 75 and not set(found(store, 3)) & {name for _, name in gone}
    assert not any(VECTORS[3].astype(np.float16).tobytes() in path.read_bytes() for path in store.path.parent.rglob("vectors-*"))


def test_what_a_killed_process_left_is_not_trusted(store: Store) -> None:
    put(store, range(100))
    found(store, 3)
    for path in store.path.parent.rglob("vectors-*"):
        path.write_bytes(path.read_bytes()[:1000])
    assert found(store, 3)[0] == "t003"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A database whose index is kept in files."""
    monkeypatch.setattr(template_index, "MIN_SAVED_TEMPLATES", 1)
    return Store(tmp_path / "farsight.db")


def test_an_index_handed_over_opens_no_other_file_and_deletes_none(kept: Store, tmp_path: Path) -> None:
    store = kept
    put(store, range(100))
    found(store, 3)
    folder, size = index_folder(store), VECTORS.shape[1]
    name = json.loads((folder / "state.json").read_text())["name"]
    lists, quantizer = tmp_path / "elsewhere", faiss.IndexFlatIP(size)
    evil = faiss.IndexIVFFlat(quantizer, size, 1, faiss.METRIC_INNER_PRODUCT)
    evil.train(VECTORS[:100])
    on_disk = faiss.OnDiskInvertedLists(1, evil.code_size, str(lists))
    evil.replace_invlists(on_disk, False)
    evil.add(VECTORS[:100])
    lists.unlink()
    faiss.write_index(evil, str(folder / f"index-{name}.faiss"))
    assert found(store, 3)[0] == "t003" and not lists.exists()

    other = tmp_path / "precious"
    folder.rename(other)
    (other / "photo.jpg").write_bytes(b"mine")
    folder.symlink_to(other)
    put(store, range(100, 120))
    assert found(store, 110)[0] == "t110" and (other / "photo.jpg").exists()


@pytest.mark.parametrize("what", ["nan", "short", "wide", "pickle", "backwards", "huge"])
def test_arrays_that_are_no_index_are_made_anew(kept: Store, what: str) -> None:
    store = kept
    put(store, range(100))
    found(store, 3)
    (vectors,), (ids,) = index_folder(store).glob("vectors-*"), index_folder(store).glob("ids-*")
    held = np.load(vectors)
    if what == "huge":
        content = vectors.read_bytes()
        vectors.write_bytes(content.replace(b"(100, ", b"(9**9,"))
    elif what == "backwards":
        np.save(ids, np.load(ids)[::-1])
    else:
        wrong = {"nan": held * np.nan, "short": held[:50], "wide": np.hstack([held, held]), "pickle": np.array([{}])}[what]
        np.save(vectors, wrong, allow_pickle=True)
    put(store, range(100, 110))
    assert found(store, 3)[0] == "t003" and found(store, 105)[0] == "t105"


def test_a_search_over_more_tracks_needs_a_higher_score(store: Store) -> None:
    put(store, range(200))
    few, _ = TrackSearch(DatabaseTracks(store, "r"), THRESHOLDS).search(
        VECTORS[:1], 1, 0.01, TrackFilter(source="cam0", since_s=190.0)
    )
    many, compared = TrackSearch(DatabaseTracks(store, "r"), THRESHOLDS).search(VECTORS[:1], 1, 0.01)
    assert compared == 200 and many[0].threshold > few[0].threshold and many[0].outcome == "match"


def test_another_recogniser_is_refused(store: Store) -> None:
    put(store, range(2))
    with pytest.raises(StoreError, match="another recogniser"):
        DatabaseTracks(store, "other")


def test_a_search_without_any_track_is_no_error(store: Store) -> None:
    assert TrackSearch(DatabaseTracks(store, "r"), THRESHOLDS).search(VECTORS[:2]) == ([], 0)
