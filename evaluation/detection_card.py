"""The figures of `evaluation.detection_sources` that the detector's card holds."""

from __future__ import annotations

from typing import Any

CARD_FP_RATE, CARD_SCORES = "0.5", ("0.2", "0.4", "0.6")  # the rows that the card holds


def card_figures(report: dict[str, Any], every: int) -> dict[str, Any]:
    """Rows of the detector's card from a report of `build_report`: by condition and source, at `CARD_FP_RATE`."""
    rows: list[dict[str, Any]] = []
    for look, part in report.items():
        for source, rates in part["recall"].items():
            kept = ("least_score", "faces", "recall", "landmark_error")
            rows.append({"look": look, "source": source} | {name: rates[CARD_FP_RATE][name] for name in kept})
        empty = part["empty"]["all sizes"]
        rows.append({"look": look, "source": "face-free"} | {name: empty[name] for name in ("pictures", *CARD_SCORES)})
    return {
        "command": f"python -m evaluation.detection_sources --photos PHOTOS --clips DATA/videos --every {every}",
        "data": "sources of which nothing trains (training.data.held_out), full size, 1/2 and 1/3; % of faces at "
        f"{CARD_FP_RATE} false positives a picture; profile and hidden: of 12 to 64 px",
        "rows": rows,
    }
