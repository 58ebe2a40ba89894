"""Impostor score tables for decision thresholds: by face width, number of shots and watchlist size.

    python -m evaluation.impostors --data DATA [--visits 2] [--cache .cache]      # writes into the recogniser's card

The people of ``DATA/calibration`` are never trained on. Simulated camera visits (`evaluation.visits`) become templates of 1, 3
and 5 shots through the pipeline's own stages. Each template is compared with the sharp photos of everybody outside the person's
family. The impostor distribution varies smoothly with face width: location and scale are fitted to the logarithm of the
width, and the standardised distribution is shared by all widths. So the estimate at every width uses all people. `error` is the
standard error over bootstrap samples of whole families.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.other_collections import Others
from evaluation.stage_templates import aggregated
from evaluation.visits import Filming, Visits
from models import weights_path
from models.weights_io import update_card
from watchlist.highest_scores import TAIL_SHARE, HighestScores
from watchlist.thresholds import LISTS, RATES, Thresholds

BINS = ((10, 13), (13, 17), (17, 24), (24, 36), (36, 55), (55, 81))  # face widths in pixels
SHOTS = (1, 3, 5)
REFERENCE_PX = 20.0
RESAMPLES = 100
LEAST_LISTED = 20  # photos that a passer-by of another collection is compared with
ERROR_AT = 0.01, 100  # FPIR and watchlist size for which a card holds the standard error


@dataclass(frozen=True)
class Strangers:
    """Scores of all visits against all enrolled photos.

    Attributes:
        scores: float32 (V, G), cosine of V visits to G photos.
        strange: bool (V, G), True if visitor and photo belong to different families.
        face_px: float32 (V,), width of the face in pixels.
        family: int (V,), of the visitor.
        person: int (V,), the visitor.
    """

    scores: NDArray[np.float32]
    strange: NDArray[np.bool_]
    face_px: NDArray[np.float32]
    family: NDArray[np.intp]
    person: NDArray[np.intp]

    def rows(self, rows: NDArray[np.intp]) -> Strangers:
        return Strangers(self.scores[rows], self.strange[rows], self.face_px[rows], self.family[rows], self.person[rows])


def strangers_of(
    filming: Filming, visits: list[Visits], shots: int, visitors: NDArray[np.bool_], listed: NDArray[np.bool_]
) -> Strangers:
    """Score templates of ``shots`` shots; bool (P,) ``visitors`` and ``listed`` select probes and enrolled people."""
    people, who = filming.people, np.flatnonzero(visitors)
    photos = np.flatnonzero(listed[people.person])
    templates = np.concatenate([aggregated(v.shots[who, :shots], v.quality[who, :shots], power=2.0) for v in visits])
    family = np.tile(people.family[who], len(visits))
    return Strangers(
        templates @ filming.photos[photos].T,
        family[:, None] != people.family[people.person[photos]],
        np.concatenate([v.face_px[who] for v in visits]),
        family,
        np.tile(who, len(visits)),
    )


@dataclass(frozen=True)
class ByWidth:
    """Location and scale of impostor scores by face width: polynomials in log(width / `REFERENCE_PX`) of location and log
    scale."""

    location: NDArray[np.float64]
    scale: NDArray[np.float64]

    def at(self, face_px: NDArray[np.floating] | float) -> tuple[Any, Any]:
        """Return location and scale at a face width in pixels."""
        place = np.log(np.asarray(face_px, np.float64) / REFERENCE_PX)
        return np.polyval(self.location, place), np.exp(np.polyval(self.scale, place))


def fit_by_width(strangers: Strangers) -> ByWidth:
    """Fit location (the score that `TAIL_SHARE` of a stranger's scores exceed) and scale (its distance from their median)."""
    held = np.where(strangers.strange, strangers.scores, np.nan)
    middle, upper = np.nanquantile(held, [0.5, 1 - TAIL_SHARE], axis=1)
    place = np.log(strangers.face_px / REFERENCE_PX)
    return ByWidth(np.polyfit(place, upper, 2), np.polyfit(place, np.log(upper - middle), 2))


def tables_by_width(strangers: Strangers) -> tuple[list[NDArray[np.float64]], float]:
    """Threshold tables (lists, rates) for `LISTS` and `RATES`, at the centre of each of `BINS`; and the standard error at
    `ERROR_AT`."""
    by_width = fit_by_width(strangers)
    (place, scale), (own_place, own_scale) = by_width.at(REFERENCE_PX), by_width.at(strangers.face_px)
    alike = place + scale * (strangers.scores - own_place[:, None]) / own_scale[:, None]
    highest = HighestScores(alike, strangers.strange)
    table, middles = highest.table(), [by_width.at(float(np.sqrt(low * high))) for low, high in BINS]
    tables = [there + wide * (table - place) / scale for there, wide in middles]
    return tables, highest.error(*ERROR_AT, strangers.family, RESAMPLES)


def impostor_scores(recognizer: Path | None, data: Path, cache: Path, visits: int = 2) -> list[dict[str, Any]]:
    """Measure the highest impostor scores of adults over watchlists of adults.

    Args:
        recognizer: a weight file or an ONNX file; None: the shipped one.
        data: the data folder.
        cache: folder for embeddings.
        visits: simulated visits of each person; more give a smaller standard error and take longer.

    Returns:
        One entry for each number of shots and face width, as a recogniser's card holds them and
        `watchlist.thresholds.Thresholds` reads them.
    """
    filming = Filming(data, recognizer, cache)
    filmed = [filming.visits(seed) for seed in range(visits)]
    adults, found = ~filming.people.child, []
    for shots in SHOTS:
        strangers = strangers_of(filming, filmed, shots, adults, adults)
        tables, error = tables_by_width(strangers)
        for (low, high), table in zip(BINS, tables, strict=True):
            inside = (strangers.face_px >= low) & (strangers.face_px < high)
            found.append(
                {
                    "face_px": [low, high],
                    "shots": shots,
                    "people": len(set(strangers.person[inside].tolist())),
                    "people_of_all_widths": len(set(strangers.person.tolist())),
                    "lists": list(LISTS),
                    "rates": list(RATES),
                    "cosines": np.minimum(table, 1).round(4).tolist(),
                    "error": round(error, 4),
                }
            )
    return found


def rates_by_age(filming: Filming, filmed: list[Visits], impostors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """FPIR and FNIR of adults and of children at the adult thresholds for `ERROR_AT`."""
    thresholds, child, rows = Thresholds(impostors), filming.people.child, []
    rate, size = ERROR_AT
    for visitors, listed in product(("adults", "children"), repeat=2):
        who, whom = (child == (group == "children") for group in (visitors, listed))
        strangers = strangers_of(filming, filmed, max(SHOTS), who, whom)
        needed = np.array([thresholds.cosine(rate, size, float(w), max(SHOTS)) for w in strangers.face_px], np.float32)
        over = HighestScores(strangers.scores - needed[:, None], strangers.strange)
        row = {
            "passers_by": visitors,
            "list": listed,
            "people": [int(who.sum()), int(whom.sum())],
            "list_size": size,
            "asked": rate,
            "fpir": round(float(np.interp(0.0, over.cosines, over.rates(size))), 4),
        }
        if visitors == listed:
            own = filming.people.person[np.flatnonzero(whom[filming.people.person])]
            enrolled = np.unique(own, return_index=True)[1]
            column = np.searchsorted(own[enrolled], strangers.person)
            mate = strangers.scores[np.arange(len(needed)), enrolled[column]]
            row["fnir"] = round(float((mate < needed).mean()), 3)
        rows.append(row)
    return rows


def rates_elsewhere(others: Others, impostors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """FPIR of people of other collections at the thresholds for `ERROR_AT`: over lists of other collections, and of their own."""
    thresholds, (rate, size) = Thresholds(impostors), ERROR_AT
    needed = np.array([thresholds.cosine(rate, size, float(w), max(SHOTS)) for w in others.face_px], np.float32)
    over = aggregated(others.shots, others.quality, power=2.0) @ others.photos.T - needed[:, None]
    same, rows = others.filmed_from[:, None] == others.enrolled_from, []
    for name, compared in (("of other collections", ~same), ("of the same collection", same)):
        enough = compared.sum(1) >= LEAST_LISTED
        highest = HighestScores(over[enough], compared[enough])
        rows.append(
            {
                "passers_by": "adults of other collections",
                "list": name,
                "people": [int(enough.sum()), int(compared[enough].any(0).sum())],
                "list_size": size,
                "asked": rate,
                "fpir": round(float(np.interp(0.0, highest.cosines, highest.rates(size))), 4),
            }
        )
    return rows


def show(found: list[dict[str, Any]]) -> None:
    """Print thresholds for some FPIRs and watchlist sizes, by face width and shots."""
    thresholds = Thresholds(found)
    for entry in found:
        middle = float(np.sqrt(np.prod(entry["face_px"])))
        reached = ", ".join(
            f"{thresholds.cosine(rate, size, middle, entry['shots']):.3f} for {size} people at {rate:g}"
            for size in (10, 100, 1000)
            for rate in (0.1, 0.01)
        )
        low, high = entry["face_px"]
        print(f"{low:g} to {high:g} px, {entry['shots']} shots, {entry['people']} people: {reached} ± {entry['error']:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--visits", type=int, default=2)
    args = parser.parse_args()
    found = impostor_scores(None, args.data, args.cache, args.visits)
    filming = Filming(args.data, None, args.cache)
    groups = rates_by_age(filming, [filming.visits(seed) for seed in range(args.visits)], found)
    groups += rates_elsewhere(filming.others, found)
    update_card(weights_path(None, "recognizer"), impostors=found, groups=groups)
    show(found)
    for row in groups:
        print(
            f"{row['people'][0]} {row['passers_by']} pass a list of {row['list_size']} {row['list']}: asked {row['asked']:g}, "
            f"measured {row['fpir']:.4f}" + (f", missed {100 * row['fnir']:.0f} %" if "fnir" in row else "")
        )


if __name__ == "__main__":
    main()
