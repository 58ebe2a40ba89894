"""``demo``: run the pipeline on a synthetic clip and compare its results with the truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from cli.common import CONFIGS, DATABASE, console, finite, open_store
from cli.run import RecordingRun, run_recordings
from cli.settings import Settings, load_settings
from pipeline.errors import SettingsError
from pipeline.folder_lock import LOCK, locked_folder
from pipeline.sources.find import find_sources

MARKER = "truth.json"
SEED = 3  # its ten faces are as different as those of real people; faces of other seeds may be more alike


def command(
    out: Annotated[Path, typer.Option(help="folder for clip and results; an earlier demo in it is replaced")] = Path("out/demo"),
    seconds: Annotated[float, typer.Option(callback=finite, min=4, help="length of the clip in seconds")] = 24.0,
    engine: Annotated[str | None, typer.Option(help=Settings.model_fields["engine"].description)] = None,
) -> None:
    """Render a corridor with ten synthetic people, four of them enrolled, and look for them."""
    from synthetic.corridor import render_clip
    from synthetic.scoring import score

    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out}: is a file; name a folder")
    if out.exists() and any(out.iterdir()) and not (out / "clip" / MARKER).exists():
        raise SettingsError(f"--out {out}: holds something that is no demo; name another folder")
    _clear(out)
    clip_folder = out / "clip"
    clip_folder.mkdir(parents=True, exist_ok=True)
    (clip_folder / MARKER).touch()  # first, so that an interrupted demo is recognised as one
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("rendering the clip", total=1.0)
        clip = render_clip(clip_folder, seconds, seed=SEED, on_progress=lambda share: bar.update(task, completed=share))
    settings = load_settings(CONFIGS / "demo.yaml", engine=engine)
    code = run_recordings(RecordingRun(settings, find_sources([str(clip)]), clip_folder / "people", out))
    truth = json.loads((clip_folder / MARKER).read_text())["walkers"]
    store = open_store(out / DATABASE)
    result = score(truth, store.tracks())
    store.close()
    table = Table("walker", "enrolled", "face px", "tracks", "reported as", "outcome", box=None)
    for walk in result.walkers:
        sizes = f"{walk.smallest_px:.0f} to {walk.largest_px:.0f}"
        table.add_row(
            walk.name,
            "yes" if walk.enrolled else "",
            sizes,
            str(walk.tracks),
            ", ".join(sorted(set(walk.reported))),
            walk.outcome,
        )
    console.print(table)
    enrolled = sum(w.enrolled for w in result.walkers)
    console.print(
        f"found {result.found} of {enrolled}, missed {result.missed}, falsely reported {result.false}; "
        f"{len(result.walkers) - enrolled} strangers, "
        f"{result.count('rightly unmatched')} of them tracked and rightly unmatched; {result.false_tracks} tracks on no face"
    )
    for name in ("report.html", f"annotated/{clip.stem}.mp4"):
        console.print(f"{out / name}", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def _clear(out: Path) -> None:
    """Delete an earlier demo, unless it is still running."""
    if not out.exists():
        return
    with locked_folder(out, "demo"):
        for path in out.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink()
