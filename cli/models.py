"""``models``: download other people's weights by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.common import console
from pipeline.errors import NothingReadError, SettingsError

app = typer.Typer(no_args_is_help=True, help="Download other people's weights: a second face detector.")


@app.callback()
def options() -> None:
    return


@app.command("fetch")
def fetch_command(
    name: Annotated[str, typer.Argument(help="what to download: yunet (MIT), yunet-n (Apache-2.0)")],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="where to put it; default: $FARSIGHT_MODELS or ~/.local/share/farsight/models")
    ] = None,
    address: Annotated[
        list[str] | None, typer.Option("--from", help="http(s) address of a mirror, instead of the official places")
    ] = None,
) -> None:
    """Download a detector's weights and check their digest. `shared: {detector: yunet.onnx}` then finds them by name."""
    from models.downloads import DOWNLOADS, DownloadError, fetch, is_complete, user_folder

    if name not in DOWNLOADS:
        raise SettingsError(f"models fetch {name}: unknown name; allowed: {', '.join(DOWNLOADS)}")
    download = DOWNLOADS[name]
    folder = folder or user_folder()
    try:
        known = is_complete(folder / download.file, download)
        path = fetch(name, folder, address or ())
    except DownloadError as error:
        raise NothingReadError(str(error)) from None
    what = "was there already" if known else "downloaded"
    used = download.file if folder == user_folder() else path
    console.print(
        f"{path}: {download.about} ({download.licence}), {what}, SHA-256 {download.sha256[:12]}... is right; "
        f"use it with shared: {{detector: {used}}}",
        markup=False,
        soft_wrap=True,
    )
