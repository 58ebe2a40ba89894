"""``search``: where was the person of this photo?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from pipeline.cli.common import console, database_path, open_gate, open_store
from pipeline.errors import SettingsError


def command(
    photo: Path,
    db: Annotated[Path, typer.Option(help="output folder of a run, or its database")],
    top: Annotated[int, typer.Option(min=1)] = 20,
    fpir: Annotated[float, typer.Option(min=1e-6, max=0.5, help="false alarms allowed per search")] = 0.01,
    since: Annotated[float | None, typer.Option(help="only what ends after this PTS in seconds")] = None,
    camera: Annotated[str | None, typer.Option(help="only this source")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Search every track of the past, matched or not, for the person of a photo."""
    from models import recognizer_card
    from watchlist.thresholds import Thresholds

    store = open_store(database_path(db), must_exist=True)
    gate, digest = open_gate("auto")
    verdict = gate.judge("", photo)
    if verdict.vector is None:
        raise SettingsError(f"{photo}: {verdict.reason}")
    rows, templates, recognizers = store.templates()
    store.close()
    if recognizers - {digest}:
        raise SettingsError(f"{db}: its templates were made by another recogniser than this one ({digest[:12]})")
    keep = [i for i, r in enumerate(rows) if (camera in (None, r["source"])) and (since is None or r["end_s"] >= since)]
    scores = templates[keep] @ verdict.vector if keep else np.zeros(0, np.float32)
    thresholds = Thresholds(recognizer_card()["impostors"])
    found = []
    for place in np.argsort(-scores)[:top]:
        row = rows[keep[int(place)]]
        threshold = thresholds.cosine(fpir, len(keep), row["face_px"])
        score = float(scores[place])
        found.append(
            {
                "source": row["source"],
                "track": row["track"],
                "start_s": round(row["start_s"], 3),
                "end_s": round(row["end_s"], 3),
                "score": round(score, 4),
                "threshold": round(threshold, 4),
                "fpir": fpir,
                "outcome": "match" if score >= threshold else "no_match",
                "crop": row["crop"],
            }
        )
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table("score", "needs", "outcome", "source", "from s", "to s", "crop", box=None)
    for f in found:
        table.add_row(*(str(f[k]) for k in ("score", "threshold", "outcome", "source", "start_s", "end_s", "crop")))
    console.print(table)
    console.print(f"{len(keep)} tracks searched", markup=False)
