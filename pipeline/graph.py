"""Rules that a stage graph must fulfil. They are checked when the settings are read, before anything can be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.settings import GroupSettings

STAGE_METHODS = ("open", "process", "flush", "close")
SOURCE_METHODS = ("start", "read", "report", "stop", "close")


def first_fault(groups: list[GroupSettings], classes: dict[str, type[Any]]) -> tuple[tuple[int | str, ...], str]:
    """Find the first rule that a graph breaks.

    Args:
        groups: the graph.
        classes: the class of each ``use``.

    Returns:
        The key below the graph's own, such as ``(1, "replicas")``, and what is wrong with it; "" if nothing is.
    """
    if groups[0].source is None:
        return (0, "source"), " is missing: the first group must read something"
    live = getattr(classes[groups[0].source.use], "live", False)
    written: set[type[Any]] = set()
    for place, group in enumerate(groups):
        last = place == len(groups) - 1
        if group.name in (g.name for g in groups[:place]):
            return (place, "name"), f": the name {group.name!r} is used twice"
        if place and group.source is not None:
            return (place, "source"), ": only the first group reads"
        if place and group.replicas not in ("auto", 1) and not group.key:
            return (place, "replicas"), f" needs key, which decides which of the {group.replicas} replicas gets a record"
        if group.full == "drop_oldest" and not live:
            return (place, "full"), ": drop_oldest loses records that a checkpoint vouches for; only cameras may drop, so: wait"
        for number, stage in enumerate(group.stages):
            cls, at = classes[stage.use], (place, "stages", number, "use")
            if place and not live and hasattr(cls, "state") and hasattr(cls, "restore"):
                return at, f": {cls.__name__} remembers, and no checkpoint holds it there: put it into the first group"
            if not getattr(cls, "writes", False):
                continue
            if not place or not last:
                return at, f": {cls.__name__} writes: put it into the last group, behind the one that reads"
            if group.replicas not in ("auto", 1):
                return (place, "replicas"), f": {group.replicas} of them would write at once: must be 1 where {cls.__name__} is"
            if cls in written:
                return at, f": two of {cls.__name__} would write the same"
            written.add(cls)
    return (), ""


def has_methods(cls: type[Any], methods: tuple[str, ...]) -> bool:
    """Whether a class has all these methods: `STAGE_METHODS` or `SOURCE_METHODS`."""
    return all(callable(getattr(cls, name, None)) for name in methods)
