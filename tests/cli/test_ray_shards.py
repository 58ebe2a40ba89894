"""Several databases searched as one: right against NumPy over all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cli.search_shards import Shards
from models import recognizer_card
from pipeline.errors import SettingsError
from pipeline.ray.recordings import RayEngine
from tests.cli.test_watchlist_and_search import call
from tests.watchlist.test_search_back import VECTORS, put
from watchlist.database import StoreError
from watchlist.store import Store
from watchlist.tracks import TrackFilter

# One after the other: a test looks for what others have left.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("cluster")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    engine = RayEngine()
    yield
    engine.close()


@pytest.fixture
def sites(tmp_path: Path) -> list[Path]:
    """Three databases with a hundred tracks each."""
    found = []
    for site in range(3):
        (tmp_path / f"site{site}").mkdir()
        found.append(tmp_path / f"site{site}" / "farsight.db")
        store = Store(found[-1])
        put(store, range(100 * site, 100 * site + 100), recognizer=recognizer_card()["sha256"])
        store.close()
    return found


def test_the_best_of_all_sites(sites: list[Path], cluster: None) -> None:
    shards = Shards(sites, recognizer_card()["sha256"])
    for probe in (3, 150, 299):
        hits, compared = shards.nearest(VECTORS[probe][None], 10, None)
        best = np.argsort(-(VECTORS @ VECTORS[probe]))[:10]
        assert compared == 300
        assert [row["track"] for row, _ in hits] == [f"t{n:03d}" for n in best]
        assert [row["db"] for row, _ in hits] == [str(sites[n // 100].parent) for n in best]
    hits, compared = shards.nearest(VECTORS[:1], 500, TrackFilter(source="cam0"))
    assert compared == len(hits) == 100 and {row["source"] for row, _ in hits} == {"cam0"}
    shards.close()


def test_a_site_of_another_recogniser_is_named(sites: list[Path], cluster: None) -> None:
    with pytest.raises(StoreError, match="its templates were made by another recogniser"):
        Shards(sites, "other").nearest(VECTORS[:1], 3, None)


def test_the_command_searches_all_of_them(sites: list[Path], cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [argument for site in sites for argument in ("--db", site.parent)]
    found = json.loads(call("search", *folders, "--json", "--track", "cam0/t003", "--top", 4))
    assert found[0]["track"] == "t003" and found[0]["db"] == str(sites[0].parent) and len(found) == 4
    with pytest.raises(SettingsError, match="given twice"):
        call("search", "--db", sites[0], "--db", sites[0], "--track", "cam0/t003")
