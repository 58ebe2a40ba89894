"""``audit``: list and verify the audit log."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.columns import print_columns
from cli.common import console, database_path, open_store
from pipeline.errors import FarsightError, SettingsError

app = typer.Typer(no_args_is_help=True, help="The audit log: who did what and when, as a hash chain.")
Db = Annotated[Path, typer.Option(help="database, or the output folder that holds it")]


class BrokenAudit(FarsightError):
    """A row of the audit log was changed, removed or added from outside."""

    exit_code = 1


@app.command()
def verify(
    db: Db,
    head: Annotated[
        str | None, typer.Option(help="a hash that an earlier `verify` printed: it must still be in the chain")
    ] = None,
) -> None:
    """Check the hash chain. Exit code 1, with the first broken row, if a row was changed, removed or added from outside."""
    store = open_store(database_path(db), must_exist=True)
    try:
        checked = store.verify_audit(head)
    finally:
        store.close()
    if checked.fault:
        raise BrokenAudit(f"audit: row {checked.broken}: {checked.fault}")
    console.print(f"audit: {checked.rows} rows, unbroken; head {checked.head}")


@app.command("list")
def list_rows(
    db: Db,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="number of rows, newest first")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with all details")] = False,
) -> None:
    """List the newest rows."""
    if not database_path(db).is_file():
        raise SettingsError(f"{database_path(db)}: no such database")
    store = open_store(database_path(db), must_exist=True)
    rows = store.audit_rows(limit)
    store.close()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    shown = [
        (
            r["id"],
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(r["at"])),
            r["user"] or "",
            r["what"],
            json.dumps(r["detail"]),
        )
        for r in reversed(rows)
    ]
    print_columns(("id", "at", "user", "what", "detail"), shown)
