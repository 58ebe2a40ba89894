from pathlib import Path

import pytest

from cli.activity import with_activity
from cli.settings import load_settings
from pipeline.errors import SettingsError

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_option_sets_search_and_drawing() -> None:
    settings = with_activity(load_settings(CONFIGS / "recording.yaml"), "safe")
    sources = [settings.groups[0].source, settings.annotate[0].source]
    assert [source.keywords["activity"] for source in sources if source] == ["safe", "safe"]
    assert sources[1] and sources[1].keywords["picture"] == "yuv420p"


def test_without_the_option_the_file_decides(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"base: {CONFIGS / 'recording.yaml'}\nshared: {{activity: fast}}\n")
    assert with_activity(load_settings(own), None).shared == {"activity": "fast"}


def test_a_wrong_mode_is_refused_in_one_line() -> None:
    with pytest.raises(SettingsError, match="--activity quick: must be off, safe or fast"):
        with_activity(load_settings(CONFIGS / "recording.yaml"), "quick")


def test_cameras_have_no_such_setting() -> None:
    with pytest.raises(SettingsError, match="no source of this configuration"):
        with_activity(load_settings(CONFIGS / "live.yaml"), "safe")
