"""``serve``: the console and the HTTP API of an output folder."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.common import console, database_path, open_store
from pipeline.errors import SettingsError

LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
COMMAND = (sys.executable, "-c", "from cli import main; main()")  # starts this program, for jobs


def command(
    db: Annotated[Path, typer.Option(help="database, or the output folder that holds it")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port")] = 8080,
    host: Annotated[
        str, typer.Option(help="address to listen on; any other than loopback needs an account and TLS")
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None, typer.Option("--name", help="host name that browsers use for this server; repeat for several")
    ] = None,
    cert: Annotated[Path | None, typer.Option(help="TLS certificate with its chain (PEM)")] = None,
    key: Annotated[Path | None, typer.Option(help="TLS private key (PEM)")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="a proxy in front ends TLS and sets X-Forwarded-For; names it by --name")
    ] = False,
) -> None:
    """Serve the console in a browser.

    On loopback it can be read without an account as long as there is none; every change, and every other address, needs an
    account (`farsight user add`).
    """
    local, secure = _is_loopback(host), _check_tls(cert, key)
    path = database_path(db)
    store = open_store(path, must_exist=True)
    accounts = store.has_accounts()
    store.close()
    if not local or behind_proxy:
        _require_protection(host, port, path, accounts, secure, behind_proxy)
    if behind_proxy and not name:
        raise SettingsError("--behind-proxy: give the proxy's host name with --name, by which browsers call this server")
    _require_free(host, port)
    import uvicorn

    from console.app import make_app
    from console.context import Options

    options = Options(anonymous=local and not behind_proxy, secure=secure or behind_proxy, behind_proxy=behind_proxy)
    hosts = [*LOCAL_NAMES, *(name or []), *_own_addresses(host)]
    tls: dict[str, Any] = {"ssl_certfile": cert, "ssl_keyfile": key} if secure else {}
    shown = f"[{host}]" if ":" in host else host
    console.print(f"http{'s' if secure else ''}://{shown}:{port}/  (Ctrl-C ends it)", markup=False)
    app = make_app(path, hosts, options, COMMAND)
    quiet: dict[str, Any] = {"log_level": "warning", "server_header": False, "timeout_graceful_shutdown": 2}
    uvicorn.run(app, host=host, port=port, proxy_headers=False, **quiet, **tls)


def _is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_tls(cert: Path | None, key: Path | None) -> bool:
    """Whether TLS files are given. Raises SettingsError if they cannot be used."""
    if cert is None and key is None:
        return False
    if cert is None or key is None:
        raise SettingsError("--cert and --key: both are needed")
    for option, path in (("--cert", cert), ("--key", key)):
        if not path.is_file():
            raise SettingsError(f"{option} {path}: no such file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise SettingsError(
            f"--cert {cert}, --key {key}: not usable ({error}); both must be PEM, and the key without a password"
        ) from None
    return True


def _require_protection(host: str, port: int, path: Path, accounts: bool, secure: bool, behind_proxy: bool) -> None:
    """Raise SettingsError if other machines could reach the console without a password, or passwords would travel without TLS."""
    option = "--behind-proxy" if behind_proxy else f"--host {host}"
    if not accounts:
        where = (
            "is for consoles with accounts" if behind_proxy else "must be 127.0.0.1, ::1 or localhost while there is no account"
        )
        raise SettingsError(
            f"{option}: {where}, or all who reach it see faces and names, without a password; make one with "
            f"`farsight user add NAME --role admin --db {path.parent}`, or from another machine: "
            f"ssh -L {port}:127.0.0.1:{port} THIS_MACHINE"
        )
    if not secure and not behind_proxy:
        raise SettingsError(f"{option}: passwords need TLS: give --cert and --key, or --behind-proxy where a proxy ends TLS")


def _own_addresses(host: str) -> list[str]:
    """Host names and addresses by which browsers can reach a server that listens on ``host``."""
    if host in ("0.0.0.0", "::"):
        found = {socket.gethostname(), socket.getfqdn()}
        with suppress(OSError):
            found |= {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)}
        return sorted(f"[{one}]" if ":" in one else one for one in found)
    return [f"[{host}]" if ":" in host else host]


def _require_free(host: str, port: int) -> None:
    """Raise SettingsError if the port is in use or cannot be opened."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SettingsError(f"--port {port}: {error.strerror or error} on {host}; name another port") from None
