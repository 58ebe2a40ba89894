"""Open the database of a watchlist or an output folder, with one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import SettingsError
from pipeline.file_permissions import make_database_private, make_private, require_no_links

if TYPE_CHECKING:
    from watchlist.store import Store

DATABASE = "farsight.db"


def database_path(named: Path) -> Path:
    """The database file for a path that names the file or its folder."""
    return named / DATABASE if named.is_dir() or not named.suffix else named


def open_store(path: Path, must_exist: bool = False) -> Store:
    """Open a database, and remove other users' permissions from its files.

    Args:
        path: the database file.
        must_exist: False: create a missing file.

    Raises:
        SettingsError: it cannot be opened.
    """
    from watchlist.database import StoreError
    from watchlist.store import Store

    try:
        store = Store(path, must_exist)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    make_database_private(path)
    if path.name == DATABASE:
        make_private(path.parent)
    return store


def open_own_list(db: Path, must_exist: bool = True) -> Store:
    """Open a database to change its watchlist. Raises SettingsError if it is read-only or a copy of another list."""
    from watchlist.sqlite_connection import StoreError

    path = database_path(db)
    if path.name == DATABASE:
        require_no_links(path.parent)
    store = open_store(path, must_exist)
    try:
        store.require_writable()
    except StoreError as error:
        raise SettingsError(str(error)) from None
    if origin := store.copied_from():
        store.close()
        raise SettingsError(f"{path}: its list is a copy of {origin}, which would undo the change: change that one")
    return store
