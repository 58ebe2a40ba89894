"""``user``: accounts of the console."""

from __future__ import annotations

import getpass
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.columns import print_columns
from cli.common import console, database_path, open_store
from pipeline.errors import SettingsError
from watchlist.accounts import ROLES, Account
from watchlist.store import Store

app = typer.Typer(no_args_is_help=True, help="Accounts of the console (`serve`): who may look, review, enrol and administer.")
Db = Annotated[Path, typer.Option(help="database, or the output folder that holds it")]
Name = Annotated[str, typer.Argument(metavar="NAME")]
RoleOption = Annotated[str, typer.Option(help=", ".join(ROLES))]
Cameras = Annotated[list[str] | None, typer.Option("--camera", help="the only source this user sees; repeat for several")]


@app.command()
def add(name: Name, role: RoleOption, db: Db, camera: Cameras = None) -> None:
    """Make an account. The password is asked for on a terminal, otherwise read from standard input."""
    from watchlist.database import StoreError

    store = _open(db)
    _require_role(role)
    if store.find_account(name) is not None:
        raise SettingsError(f"user {name}: there is one of this name already; choose another")
    hashed = _hashed_password()
    try:
        store.add_account(name, role, hashed, camera)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    store.close()
    console.print(f"added {name}, {role}", markup=False)


@app.command("list")
def list_users(db: Db) -> None:
    """List the accounts."""
    store = open_store(database_path(db), must_exist=True)
    rows = [
        (a.id, a.name, a.role, ", ".join(a.cameras) if a.cameras is not None else "all", len(store.tokens(a.id)))
        for a in store.accounts()
    ]
    store.close()
    print_columns(("id", "name", "role", "cameras", "API tokens"), rows)


@app.command()
def remove(name: Name, db: Db) -> None:
    """Delete an account with its sessions and API tokens."""
    from watchlist.database import StoreError

    store = _open(db)
    try:
        store.remove_account(_existing(store, name).id)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    store.close()
    console.print(f"removed {name}", markup=False)


@app.command()
def password(name: Name, db: Db) -> None:
    """Set another password; the user is signed out everywhere."""
    store = _open(db)
    account = _existing(store, name)
    store.set_password(account.id, _hashed_password())
    store.close()
    console.print(f"changed the password of {name}", markup=False)


@app.command()
def change(
    name: Name,
    db: Db,
    role: Annotated[str | None, typer.Option(help=", ".join(ROLES))] = None,
    camera: Cameras = None,
    all_cameras: Annotated[bool, typer.Option("--all-cameras", help="the user sees every source")] = False,
) -> None:
    """Change the role of a user, or the cameras the user sees."""
    from watchlist.database import StoreError

    if role is None and camera is None and not all_cameras:
        raise SettingsError("user change: name --role, --camera or --all-cameras")
    if camera and all_cameras:
        raise SettingsError("user change: --camera and --all-cameras exclude each other")
    if role is not None:
        _require_role(role)
    store = _open(db)
    try:
        store.change_account(_existing(store, name).id, role, None if all_cameras else (camera or False))
    except StoreError as error:
        raise SettingsError(str(error)) from None
    store.close()
    console.print(f"changed {name}", markup=False)


@app.command()
def token(
    name: Name,
    db: Db,
    label: Annotated[str, typer.Option(help="what the token is for")] = "",
    days: Annotated[float | None, typer.Option(min=0.001, max=36500, help="days until it expires; default: never")] = None,
    remove: Annotated[int | None, typer.Option(help="delete the token of this ID instead")] = None,
    list_all: Annotated[bool, typer.Option("--list", help="list the user's tokens instead")] = False,
) -> None:
    """Make an API token and print it once. The database stores only its hash."""
    from console.auth.sessions import make_token

    store = _open(db)
    account = _existing(store, name)
    if list_all:
        rows = [
            (t.id, t.label, _day(t.created), "never" if t.expires is None else _day(t.expires)) for t in store.tokens(account.id)
        ]
        print_columns(("id", "label", "made", "expires"), rows)
    elif remove is not None:
        if not store.remove_token(remove, account.id):
            raise SettingsError(f"token {remove}: {name} has none with this ID; `user token {name} --list` shows them")
        console.print(f"removed token {remove}")
    else:
        secret, kept = make_token()
        store.add_token(account.id, label, kept, None if days is None else time.time() + 86_400 * days)
        print(secret)
    store.close()


def _open(db: Path) -> Store:
    path = database_path(db)
    store = open_store(path, must_exist=True)
    if store.read_only:
        raise SettingsError(f"{path}: cannot be written to; copy it to a folder of your own first")
    return store


def _existing(store: Store, name: str) -> Account:
    account = store.find_account(name)
    if account is None:
        raise SettingsError(f"user {name}: there is none of this name; `user list` shows them")
    return account


def _require_role(role: str) -> None:
    if role not in ROLES:
        raise SettingsError(f"--role {role}: must be one of {', '.join(ROLES)}")


def _hashed_password() -> str:
    """Ask for a password, twice on a terminal. Raises SettingsError."""
    from console.auth.passwords import hash_password

    if sys.stdin.isatty():
        given = getpass.getpass("password: ")
        if getpass.getpass("again: ") != given:
            raise SettingsError("password: the two differ; start again")
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    try:
        return hash_password(given)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
