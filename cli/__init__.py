"""The command line: one module per command. Only this package composes the engine, the stages, the models and the watchlist."""

from __future__ import annotations

import sqlite3
import sys
from typing import Annotated, ClassVar

import typer

from cli.lazy_group import LazyGroup
from cli.torch_start import omit_tracing
from pipeline import __version__
from pipeline.errors import FarsightError, SettingsError, redact
from pipeline.file_permissions import set_private_umask
from watchlist.sqlite_connection import StoreError


def _version(asked: bool) -> None:
    """Print the version, and the commit where it is known."""
    if asked:
        from pipeline.monitoring.versions import commit

        known = commit()
        print(f"farsight {__version__}{f' (commit {known})' if known else ''}")
        raise typer.Exit


class Commands(LazyGroup):
    """The commands in the order of the help, each with its line of help."""

    lazy: ClassVar[dict[str, tuple[str, str]]] = {
        "run": ("cli.run:command", "Find the people of a watchlist in recordings."),
        "live": (
            "cli.live:command",
            "Watch live cameras until Ctrl-C or SIGTERM. Cameras may be added to and removed from the settings file meanwhile.",
        ),
        "search": ("cli.search:command", "Search all past tracks, matched or not, for a person."),
        "purge": (
            "cli.retention:purge",
            "Delete old tracks of live cameras, by outcome, and check that no trace of them is left.",
        ),
        "export": (
            "cli.retention:export",
            "Write an evidence bundle: chosen tracks with images, decisions and hashes of all files.",
        ),
        "demo": ("cli.demo:command", "Render a corridor with ten synthetic people, four of them enrolled, and look for them."),
        "bench": ("cli.bench:command", "Measure decoding alone, each stage, and both engines on the same recording."),
        "serve": ("cli.serve:command", "Serve the console in a browser."),
        "doctor": ("cli.doctor:command", "Check the installation. The exit code is 1 if something required is missing."),
        "watchlist": ("cli.watchlist:app", "Manage the watchlist: who is looked for, with which photos, and why."),
        "user": ("cli.user:app", "Accounts of the console (`serve`): who may look, review, enrol and administer."),
        "audit": ("cli.audit:app", "The audit log: who did what and when, as a hash chain."),
        "models": ("cli.models:app", "Download other people's weights: a second face detector."),
    }


app = typer.Typer(
    cls=Commands,
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


def main() -> None:
    """Run the program. An error that the user can correct is one line and an exit code, never a traceback."""
    set_private_umask()
    omit_tracing()
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
    from cli.common import SafeConsole

    SafeConsole(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"farsight: {redact(' '.join(text.split()))}")
    sys.exit(code)
