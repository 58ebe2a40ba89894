"""The option ``--activity`` of `run`: which parts of a recording are decoded."""

from __future__ import annotations

import inspect

from cli.settings import Settings
from pipeline.errors import SettingsError
from pipeline.settings import StageSettings
from pipeline.stage_classes import stage_class

MODES = ("off", "safe", "fast")


def with_activity(settings: Settings, activity: str | None) -> Settings:
    """Set ``activity`` of every source that has it, also of the one that draws the annotated videos.

    Args:
        settings: as read from the file.
        activity: ``off``, ``safe`` or ``fast``; None: as the file says.

    Raises:
        SettingsError: another value, or no source has the setting.
    """
    if activity is None:
        return settings
    if activity not in MODES:
        raise SettingsError(f"--activity {activity}: must be {', '.join(MODES[:-1])} or {MODES[-1]}")
    settings = settings.model_copy(deep=True)
    found = False
    for group in (*settings.groups, *settings.annotate):
        if group.source and "activity" in inspect.signature(stage_class(group.source.use)).parameters:
            keywords = group.source.keywords | {"activity": activity}
            group.source = StageSettings.model_validate({"use": group.source.use} | keywords)
            found = True
    if not found:
        raise SettingsError("--activity: no source of this configuration skips quiet parts; leave the option out")
    return settings
