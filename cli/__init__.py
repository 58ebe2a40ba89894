"""The command line: one module per command. Only this package composes the engine, the stages, the models and the watchlist."""

from __future__ import annotations

import sqlite3
import sys
from typing import Annotated

import typer

from cli import audit, bench, demo, doctor, live, models, run, search, serve, user, watchlist
from cli import retention as keep
from cli.common import SafeConsole
from pipeline import __version__
from pipeline.errors import FarsightError, SettingsError, redact
from pipeline.file_permissions import set_private_umask
from watchlist.sqlite_connection import StoreError


def _version(asked: bool) -> None:
    """Print the version, and the commit where it is known."""
    if asked:
        from pipeline.monitoring.summary import commit

        known = commit()
        print(f"farsight {__version__}{f' (commit {known})' if known else ''}")
        raise typer.Exit


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Finds people on a watchlist in video where their faces are small.",
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print version and commit, and exit")
    ] = False,
) -> None:
    return


app.command("run")(run.command)
app.command("live")(live.command)
app.add_typer(watchlist.app, name="watchlist")
app.command("search")(search.command)
app.command("purge")(keep.purge)
app.command("export")(keep.export)
app.command("demo")(demo.command)
app.command("bench")(bench.command)
app.command("serve")(serve.command)
app.add_typer(user.app, name="user")
app.add_typer(audit.app, name="audit")
app.command("doctor")(doctor.command)
app.add_typer(models.app, name="models")


def main() -> None:
    """Run the program. An error that the user can correct is one line and an exit code, never a traceback."""
    set_private_umask()
    try:
        app()
    except FarsightError as error:
        _fail(str(error), error.exit_code)
    except StoreError as error:  # a damaged database
        _fail(str(error), SettingsError.exit_code)
    except (OSError, sqlite3.Error) as error:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        _fail(f"{where}{getattr(error, 'strerror', None) or error}; what was written is kept", 4)


def _fail(text: str, code: int) -> None:
    SafeConsole(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"farsight: {redact(' '.join(text.split()))}")
    sys.exit(code)
