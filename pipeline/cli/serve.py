"""``serve``: the review page and the API of a run."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.common import console, database_path, open_store
from pipeline.errors import SettingsError


def command(
    db: Annotated[Path, typer.Option(help="database, or the output folder that holds it")],
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    host: Annotated[
        str, typer.Option(help="address to listen on; anything but loopback opens it to others, without a password")
    ] = "127.0.0.1",
) -> None:
    """Show a run in the browser."""
    path = database_path(db)
    open_store(path, must_exist=True).close()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(f"--port {port}: {error.strerror} on {host}") from None
    import uvicorn

    from console.app import LOOPBACK, make_app

    local = f"[{host}]" if ":" in host else host
    if local not in LOOPBACK:
        console.print(f"everybody who reaches {host} can see faces and names: there is no password", markup=False)
    console.print(f"http://{host}:{port}/  (Ctrl-C ends it)")
    uvicorn.run(make_app(path, LOOPBACK if local in LOOPBACK else ["*"]), host=host, port=port, log_level="warning")
