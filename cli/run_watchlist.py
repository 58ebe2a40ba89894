"""The watchlist of a run: copy it into the run's database, check it, and update earlier decisions on a resume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.common import DATABASE, card_of, console, database_path, open_store
from cli.enrolment import enrol_list
from cli.settings import Settings
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from watchlist.store import Store


def require_watchlist(watchlist: Path) -> None:
    """Raise SettingsError if the watchlist does not exist."""
    if not watchlist.exists():
        raise SettingsError(f"--watchlist {watchlist}: no such file or folder")


def keep_review_rule(store: Store, settings: Settings) -> None:
    """Store ``review: {persons: N}`` of the settings file in the database, where the console reads it."""
    persons = settings.review.persons
    if persons is not None and store.preference("review") != {"persons": persons}:
        store.set_preferences({"review": {"persons": persons}})


def load_watchlist(store: Store, watchlist: Path, settings: Settings) -> dict[str, Any]:
    """Copy a watchlist into the run's own database, or enrol the photos of a folder or CSV.

    Args:
        store: the run's database.
        watchlist: a database, an output folder, a folder ``NAME/*.jpg`` or a CSV.
        settings: of the run.

    Returns:
        The key ``watchlist`` of ``run.json``.

    Raises:
        SettingsError: nobody on the list is active, or the list cannot be used.
    """
    if (watchlist.is_file() and watchlist.suffix.lower() != ".csv") or (watchlist.is_dir() and (watchlist / DATABASE).is_file()):
        path = database_path(watchlist)
        if path.resolve() != store.path.resolve():
            other = open_store(path, must_exist=True)
            store.copy_watchlist(other)
            other.close()
        else:
            store.detach_list()
        check_recognizer(store, settings.shared.get("recognizer"))
        require_active_people(store)
        return {"not_looked_for": store.inactive_names()}
    store.detach_list()
    record = enrol_list(store, watchlist, settings)
    require_active_people(store)
    return record


def update_decisions(store: Store, settings: Settings) -> None:
    """Recompute the decisions of an earlier run's tracks if the list, the thresholds or the FPIR have changed.

    All tracks of the report are then decided by the same list, thresholds and FPIR.
    """
    from watchlist.database import StoreError
    from watchlist.decision import decision_digest, redecide_tracks

    card = card_of(settings.shared.get("recognizer"))
    try:
        thresholds = store.thresholds(card)
        digest = decision_digest(store, thresholds, settings.fpir)
        if store.decided_by() == digest:
            return
        changed = redecide_tracks(store, card["sha256"], thresholds, settings.fpir)
        store.put_decided_by(digest)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    if changed:
        console.print(f"{changed} tracks of the earlier run were decided anew, for this watchlist, rate and thresholds")


def check_recognizer(store: Store, recognizer: str | None) -> None:
    """Raise SettingsError if the list was enrolled with another recogniser."""
    from watchlist.gallery import Gallery

    try:
        Gallery(store, card_of(recognizer)["sha256"])
    except ValueError as error:
        raise SettingsError(f"{store.path}: {error}") from None


def require_active_people(store: Store) -> None:
    """Print the names of inactive people. Raises SettingsError if nobody is active."""
    if not len(store.active_photos()[0]):
        raise SettingsError(f"{store.path}: nobody in it is looked for (none enrolled, or all disabled or expired)")
    absent = store.inactive_names()
    if absent:
        console.print(f"not looked for (disabled or expired): {', '.join(absent)}", markup=False)
