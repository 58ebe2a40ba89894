"""Timeline of a person's sightings, for templates."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from watchlist.store import Store

STEPS_S = (60.0, 600.0, 3600.0, 6 * 3600.0, 86_400.0)  # durations that a bar may stand for
MAX_BARS = 240  # per lane; sets the step


def day_lanes(store: Store, identity: int, cameras: tuple[str, ...] | None) -> dict[str, Any] | None:
    """Make a timeline with one lane for each source, over the time in which a person was seen.

    Args:
        store: the console's database.
        identity: id of the person.
        cameras: only these sources; None: all.

    Returns:
        ``first`` and ``last`` (Unix time), and ``lanes``: pairs of source and bars. A bar has ``left`` and ``width`` in percent,
        ``tracks`` (their number), ``first`` and ``last`` (Unix time) and ``href``. None if no sighting has a time of day.
    """
    rough = store.person_days(identity, 30 * 86_400.0, cameras)
    if not rough:
        return None
    first, last = min(row["first"] for row in rough), max(row["last"] for row in rough)
    length = max(last - first, 60.0)
    step = next((step for step in STEPS_S if length / step <= MAX_BARS), 30 * 86_400.0)
    lanes: dict[str, list[dict[str, Any]]] = {}
    for row in store.person_days(identity, step, cameras):
        query = {"person": f"#{identity}", "source": row["source"], "outcome": "match"}
        lanes.setdefault(row["source"], []).append(
            row
            | {
                "left": 100 * (row["first"] - first) / length,
                "width": max(0.8, 100 * (row["last"] - row["first"]) / length),
                "href": f"/sightings?{urlencode(query)}",
            }
        )
    return {"first": first, "last": last, "lanes": list(lanes.items())}
