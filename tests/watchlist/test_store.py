import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.stages.test_annotate import PATH, row
from watchlist.database import StoreError
from watchlist.schema import MIGRATIONS
from watchlist.store import Store

VECTOR = np.ones(4, np.float32) / 2


def enrolled(store: Store, name: str, photo: str = "p") -> int:
    identity = store.add_identity(name)
    store.add_enrolment(identity, photo, photo, b"", VECTOR, "r", 0.9, 50.0)
    return identity


def test_ids_are_never_used_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "w.db")
    first = enrolled(store, "Ada")
    assert store.remove_identity(first) and not store.remove_identity(first)
    store.close()
    again = Store(tmp_path / "w.db")
    second = enrolled(again, "Ada")
    assert second > first
    assert [(i.id, i.name, i.photos) for i in again.identities()] == [(second, "Ada", 1)]


def test_the_same_photo_twice_is_one_enrolment(tmp_path: Path) -> None:
    store = Store(tmp_path / "w.db")
    for photo in ("a", "a", "b"):
        enrolled(store, "Ada", photo)
    assert [(i.name, i.photos) for i in store.identities()] == [("Ada", 2)]


def test_removing_deletes_vectors_and_chips(tmp_path: Path) -> None:
    store = Store(tmp_path / "w.db")
    store.remove_identity(enrolled(store, "Ada"))
    assert store.enrolments() == []


def test_an_expired_person_is_not_looked_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "w.db")
    enrolled(store, "Ada")
    store.add_identity("Ada", expires="2001-01-01")
    assert store.enrolments() == [] and len(store.identities()) == 1


def test_a_failure_leaves_nothing_half_done(tmp_path: Path) -> None:
    store = Store(tmp_path / "w.db")
    with pytest.raises(RuntimeError), store.transaction():
        enrolled(store, "Ada")
        raise RuntimeError
    assert store.identities() == []


def test_files_that_are_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"this is no database at all" * 50)
    with pytest.raises(StoreError, match="not usable as a database"):
        Store(tmp_path / "x.db")
    with pytest.raises(StoreError, match="no such database"):
        Store(tmp_path / "none.db", must_exist=True)


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "n.db") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer version"):
        Store(tmp_path / "n.db")


def test_a_run_keeps_a_copy_of_who_was_looked_for(tmp_path: Path) -> None:
    people, run = Store(tmp_path / "people.db"), Store(tmp_path / "run.db")
    people.remove_identity(enrolled(people, "Gone"))
    kept = enrolled(people, "Ada")
    for _ in range(2):
        run.copy_watchlist(people)
    assert [i.id for i in run.identities()] == [kept]


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "w.db") as old:
        old.executescript(MIGRATIONS[0])
        old.execute("INSERT INTO identities (name, created) VALUES ('Ada', 0)")
        old.execute("PRAGMA user_version = 1")
    store = Store(tmp_path / "w.db")
    assert [i.name for i in store.identities()] == ["Ada"] and store.undelivered("file") == []
    store.close()
    assert sqlite3.connect(tmp_path / "w.db").execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def active_photos(store: Store) -> list[str]:
    return [e.name for e in store.enrolments()]


def test_people_and_photos_may_be_set_aside_and_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "w.db")
    ada, _ = enrolled(store, "Ada"), enrolled(store, "Bo")
    enrolled(store, "Ada", "q")
    first = store.enrolments(ada)[0].id
    assert store.set_enabled(ada, False, first) and not store.set_enabled(ada, False, first)
    assert active_photos(store) == ["Bo", "Ada"] and len(store.enrolments(ada)) == 2
    assert store.set_enabled(ada, False) and active_photos(store) == ["Bo"]
    assert [i.photos for i in store.identities() if i.set_aside] == [1]
    assert store.set_enabled(ada, True) and store.set_enabled(ada, True, first)
    assert active_photos(store) == ["Ada", "Bo", "Ada"]
    assert not store.set_enabled(99, False)


def test_details_change_and_names_stay_unique(tmp_path: Path) -> None:
    store = Store(tmp_path / "w.db")
    ada, _ = enrolled(store, "Ada"), enrolled(store, "Bo")
    assert store.update_identity(ada, name="Ida", expires="2001-01-01") and active_photos(store) == ["Bo"]
    assert store.update_identity(ada, expires="") and active_photos(store) == ["Ida", "Bo"]
    for wrong in ("Bo", ""):
        with pytest.raises(StoreError, match="name = "):
            store.update_identity(ada, name=wrong)
    assert not store.update_identity(99, name="x")


def test_every_change_of_the_list_is_noticed_and_nothing_else(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "w.db"), Store(tmp_path / "w.db")
    seen = [store.list_version()]
    steps = [
        lambda: enrolled(other, "Ada"),
        lambda: other.set_enabled(1, False),
        lambda: other.update_identity(1, purpose="x"),
        lambda: other.put_embeddings({1: (VECTOR, 0.5)}, "r2"),
        lambda: other.remove_identity(1),
    ]
    for step in steps:
        step()
        seen.append(store.list_version())
    assert len(set(seen)) == len(steps) + 1
    other.log_audit("x")
    other.put_alerts([], [])
    assert store.list_version() == seen[-1]


def test_a_copied_watchlist_follows_every_kind_of_change(tmp_path: Path) -> None:
    list_, copy = Store(tmp_path / "w.db"), Store(tmp_path / "c.db")

    def same() -> bool:
        copy.copy_watchlist(list_)
        tables = [
            [tuple(r) for s in (list_, copy) for r in s._db.execute(f"SELECT * FROM {table} ORDER BY id")]
            for table in ("identities", "enrolments")
        ]
        return all(rows[: len(rows) // 2] == rows[len(rows) // 2 :] for rows in tables)

    ada = enrolled(list_, "Ada")
    enrolled(list_, "Bo")
    assert same() and active_photos(copy) == ["Ada", "Bo"]
    before = copy.list_version()
    copy.copy_watchlist(list_)
    assert copy.list_version() == before  # nothing differs, nothing is written
    list_.update_identity(ada, name="Ida")
    list_.put_embeddings({1: (2 * VECTOR, 0.5)}, "r2")
    assert same()
    list_.set_enabled(ada, False)
    enrolled(list_, "Bo", "second")
    assert same() and active_photos(copy) == ["Bo", "Bo"]
    list_.remove_identity(ada)
    assert same()


def test_who_is_on_the_list_and_not_looked_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "w.db")
    for name in ("Ada", "Bo", "Cy"):
        enrolled(store, name)
    store.set_enabled(2, False)
    store.update_identity(3, expires="2001-01-01")
    store.add_identity("Di")
    assert store.inactive_names() == ["Bo", "Cy", "Di"]


def test_a_copy_knows_of_whom_until_it_keeps_a_list_of_its_own(tmp_path: Path) -> None:
    people, copy = Store(tmp_path / "w.db"), Store(tmp_path / "c.db")
    copy.copy_watchlist(people)
    assert copy.copied_from() == str(people.path) and people.copied_from() is None
    copy.detach_list()
    assert copy.copied_from() is None


def test_tracks_keep_the_name_and_lose_the_id_when_another_list_gives_it_to_somebody_else(tmp_path: Path) -> None:
    first, second, out = (Store(tmp_path / name) for name in ("1.db", "2.db", "out.db"))
    enrolled(first, "Ada")
    enrolled(second, "Bo")
    out.copy_watchlist(first)
    out.put_tracks([row(PATH) | {"identity": 1, "name": "Ada"}])
    out.copy_watchlist(first)
    assert out.tracks()[0]["identity"] == 1
    out.copy_watchlist(second)
    assert (out.tracks()[0]["identity"], out.tracks()[0]["name"]) == (None, "Ada")


def test_what_a_live_camera_saw_is_not_forgotten_with_a_recording(tmp_path: Path) -> None:
    store = Store(tmp_path / "w.db")
    store.put_tracks([row(PATH) | {"track": "a"}, row(PATH) | {"track": "b", "started_at": 1.7e9, "ended_at": 1.7e9 + 1}])
    store.delete_tracks_after("cam", None)
    assert [track["track"] for track in store.tracks()] == ["b"]
    assert store.is_camera("cam") and not store.is_camera("other")
