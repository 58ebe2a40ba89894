"""The page of all settings, made from the field descriptions and the stages' docstrings.

python -m cli.settings_doc > docs/settings.md
"""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from cli.settings import AlertSettings, RetentionSettings, ReviewSettings, Settings, load_settings
from configs import CONFIGS
from pipeline.settings import CameraSettings, GroupSettings, MetricsSettings, StageSettings
from pipeline.stage_classes import stage_class

MODELS: dict[str, type[BaseModel]] = {
    "The file": Settings,
    "A group (`groups`, `annotate`)": GroupSettings,
    "A stage (`stages`, `source`)": StageSettings,
    "A camera (`cameras`)": CameraSettings,
    "Alerts (`alerts`)": AlertSettings,
    "Monitoring (`metrics`)": MetricsSettings,
    "Keeping (`retention`)": RetentionSettings,
    "Review (`review`)": ReviewSettings,
}


def page() -> str:
    """The whole page as Markdown."""
    parts = [
        "# Settings\n",
        "Made by `python -m cli.settings_doc`. A settings file is YAML; `base: other.yaml` starts from another file. "
        "Unknown keys are errors.\n",
    ]
    for title, model in MODELS.items():
        parts += [f"## {title}\n", "| key | default | meaning |", "|---|---|---|"]
        for name, field in model.model_fields.items():
            default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
            parts.append(f"| `{name}` | {default} | {field.description} |")
        parts.append("")
    parts.append("## Stages\n")
    shipped = [load_settings(CONFIGS / name) for name in ("recording.yaml", "live.yaml")]
    groups = [group for settings in shipped for group in [*settings.groups, *settings.annotate]]
    used = [s for g in groups for s in [*([g.source] if g.source else []), *g.stages]]
    for use in dict.fromkeys(s.use for s in used):
        cls = stage_class(use)
        keys = [_parameter(p) for p in inspect.signature(cls).parameters.values()]
        parts += [f"### `{use}`\n", inspect.getdoc(cls) or "", "", "Keys: " + ", ".join(keys) + "\n"]
    return "\n".join(parts).rstrip() + "\n"


def _parameter(parameter: inspect.Parameter) -> str:
    given = parameter.default is inspect.Parameter.empty
    return f"`{parameter.name}` (set by the command)" if given else f"`{parameter.name}` = {_shown(parameter.default)}"


def _shown(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "none"
    return f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
