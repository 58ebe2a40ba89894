"""Start times of recordings: from the user, from file names, or from the files themselves."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import PurePath
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pipeline.errors import SettingsError, as_text
from pipeline.protocol import SourceReport, SourceSpec

DIRECTIVES = {
    **{"Y": r"\d{4}", "f": r"\d{1,6}", "j": r"\d{3}", "b": r"[^\W\d_]{3,4}", "B": r"[^\W\d_]+", "p": r"[AaPp][Mm]"},
    **{"z": r"Z|[+-]\d{2}:?\d{2}", "s": r"\d{9,11}"},
    **dict.fromkeys("ymdHMSI", r"\d{2}"),
}
FROM_USER = BY_OPTION, BY_NAME = "--start", "its name by"
DATES = ({"Y", "y"}, {"m", "b", "B", "j"}, {"d", "j"})


@dataclass(frozen=True)
class StartTime:
    """Start time of a recording.

    Attributes:
        at: Unix time of PTS 0.
        why: where it comes from.
    """

    at: float
    why: str

    def shown(self, zone: tzinfo | None) -> str:
        """The time with its UTC offset, and how it is known."""
        return f"{datetime.fromtimestamp(self.at, zone).astimezone(zone).isoformat(timespec='seconds')} ({self.why})"


def time_zone(name: str | None) -> tzinfo | None:
    """A time zone by name (Europe/Berlin) or offset (+01:00); None: this machine's. Raises SettingsError."""
    if name is None:
        return None
    if name.upper() in ("UTC", "Z"):
        return UTC
    with suppress(ValueError):
        if name.startswith(("+", "-")):
            return datetime.strptime(name, "%z").tzinfo
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        few = "Europe/Berlin" if "Europe/Berlin" in available_timezones() else "UTC (no others are installed here)"
        raise SettingsError(f"--time-zone {name}: must be a name like {few}, or an offset like +01:00") from None


class NamePattern:
    """Finds a time in a file's name, or in the end of its path if the pattern contains ``/``.

    Args:
        pattern: such as ``%Y%m%d_%H%M%S`` or ``%Y-%m-%d/%H/*/%M.%S``; ``*`` matches any characters except ``/``.

    Raises:
        SettingsError: the pattern has no date, or an unknown directive.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._asked: list[str] = []
        expression = "".join(self._part(piece) for piece in re.findall(r"%.|[^%]|%$", pattern))
        kinds = set(self._asked)
        if not ("s" in kinds or all(kinds & some for some in DATES)):
            raise SettingsError(f"--start-from-name {pattern}: must hold a date, as %Y%m%d_%H%M%S does (year, month and day)")
        self._expression = re.compile(rf"(?<!\d){expression}(?!\d)")

    def _part(self, piece: str) -> str:
        if piece == "*":
            return "[^/]*?"
        if not piece.startswith("%"):
            return re.escape(piece)
        if piece == "%%":
            return "%"
        if piece[1:] not in DIRECTIVES:
            allowed = ", ".join(f"%{key}" for key in sorted(DIRECTIVES))
            raise SettingsError(f"--start-from-name {self.pattern}: {piece} is not known; allowed: {allowed}")
        self._asked.append(piece[1:])
        return f"({DIRECTIVES[piece[1:]]})"

    def find(self, url: str, zone: tzinfo | None) -> float | None:
        """The Unix time in a path or URL; None if the pattern does not match. A time without an offset is in ``zone``."""
        path = unquote(urlsplit(url).path) if "://" in url else as_text(url)
        for match in self._expression.finditer(path if "/" in self.pattern else PurePath(path).name):
            given = dict(zip(self._asked, match.groups(), strict=True))  # if a directive occurs twice, the last counts
            if "s" in given:
                return float(given["s"])
            try:
                found = datetime.strptime("\n".join(given.values()), "\n".join(f"%{key}" for key in given))
                return _in_zone(found, zone).timestamp()
            except (ValueError, OverflowError, OSError):
                continue
        return None


def resolve_start_times(
    sources: list[SourceSpec], told: list[str], pattern: NamePattern | None, zone: tzinfo | None
) -> tuple[dict[str, StartTime], list[str]]:
    """Resolve the start times that the user gives.

    Args:
        sources: the recordings.
        told: times, or NAME=TIME if there are several sources.
        pattern: finds times in file names; None: do not look there.
        zone: of times without an offset; None: this machine's.

    Returns:
        Start times by source name, and the names of sources that the pattern does not match.

    Raises:
        SettingsError: a time or a name is wrong.
    """
    names = {spec.name for spec in sources}
    starts: dict[str, StartTime] = {}
    unfit = []
    for spec in sources if pattern else []:
        assert pattern is not None
        if (at := pattern.find(spec.url, zone)) is None:
            unfit.append(spec.name)
        else:
            starts[spec.name] = StartTime(at, f"{BY_NAME} {pattern.pattern}")
    for text in told:
        name, equals, when = text.rpartition("=")
        if not equals and len({spec.url for spec in sources}) > 1:
            raise SettingsError(
                f"--start {text}: there are {len(sources)} sources; say which one: --start {sources[0].name}={text}"
            )
        if equals and name not in names:
            raise SettingsError(f"--start {text}: no source is named {name}; there are {', '.join(sorted(names)[:10])}")
        start = StartTime(_parsed(when, zone), BY_OPTION)
        starts |= dict.fromkeys([name] if equals else sorted(names), start)  # all video tracks of one file begin together
    return starts, unfit


def report_start_times(reports: list[SourceReport], starts: dict[str, StartTime], zone: tzinfo | None) -> None:
    """Write start times into the reports. What the user gives has priority over what the file says."""
    for report in reports:
        if start := starts.get(report.name):
            report.started_at, report.started_from = start.at, start.why
        known = None if report.started_at is None else StartTime(report.started_at, report.started_from)
        report.choices["start"] = known.shown(zone) if known else "not known: tell it with --start or --start-from-name"


def _parsed(text: str, zone: tzinfo | None) -> float:
    try:
        return (
            float(text) if re.fullmatch(r"\d{9,11}(\.\d+)?", text) else _in_zone(datetime.fromisoformat(text), zone).timestamp()
        )
    except (ValueError, OverflowError, OSError):
        raise SettingsError(f"--start {text}: must be a time like 2026-11-30T17:00:00, 2026-11-30T17:00:00+01:00") from None


def _in_zone(time: datetime, zone: tzinfo | None) -> datetime:
    """A time without an offset is in ``zone``; None: this machine's."""
    if time.tzinfo is not None:
        return time
    return time.replace(tzinfo=zone) if zone else time.astimezone()
