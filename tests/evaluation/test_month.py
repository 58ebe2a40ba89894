from pathlib import Path

from evaluation.month import build_database, search_people


def test_a_small_month_is_searched(tmp_path: Path) -> None:
    tracks = build_database(tmp_path, people=4, passes=3)
    precision, first, compared = search_people(tmp_path, tracks)
    assert compared == sum(len(own) for own in tracks.values())
    assert precision > 0.5 and first > 0.5  # four people who do not exist are told apart
    assert all((tmp_path / "photos" / f"{name}.png").is_file() for name in tracks)
