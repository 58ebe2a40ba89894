"""Load the enrolment gate and a recogniser's card, with one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from watchlist.enrolment import Gate

Recognizer = Annotated[
    Path | None,
    typer.Option("--recognizer", help="ArcFace-style network (.onnx) that made the embeddings; default: the project's own"),
]


def card_of(recognizer: str | Path | None) -> dict[str, Any]:
    """The card of a recogniser; None: the project's own. Raises SettingsError if it has no impostor scores."""
    from models import recognizer_card

    try:
        return recognizer_card(recognizer)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def open_gate(
    device: str,
    detector: str | None = None,
    recognizer: str | Path | None = None,
    allow_lookalike: bool = False,
    previews: Path | None = None,
) -> tuple[Gate, str]:
    """Load the enrolment gate.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        detector: a detector's name or file; None: the project's own.
        recognizer: an ArcFace-style ONNX file; None: the project's own.
        allow_lookalike: enrol a person who looks like somebody else on the list.
        previews: folder for numbered pictures of photos that show several faces; None: write none.

    Returns:
        The gate, and the recogniser's digest.

    Raises:
        SettingsError: a model cannot be loaded.
    """
    from models import load_detector, load_recognizer
    from watchlist.enrolment import Gate
    from watchlist.thresholds import Thresholds

    thresholds = Thresholds(card_of(recognizer)["impostors"])
    try:
        embedder = load_recognizer(recognizer, device)
        judge = None if recognizer is None else load_recognizer(None, device)
        gate = Gate(load_detector(detector, device, 0.5), embedder, None if allow_lookalike else thresholds, previews, judge)
        return gate, embedder.digest
    except ValueError as error:
        raise SettingsError(str(error)) from None
