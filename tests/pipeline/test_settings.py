import os
from pathlib import Path

import pytest
import yaml

from pipeline.errors import SettingsError, redact, redact_url
from pipeline.settings import build_stage, load_settings

CONFIGS = Path(__file__).parents[2] / "configs"
MINIMAL = {
    "groups": [{"name": "a", "source": {"use": "tests.fakes.Numbers"}, "stages": [{"use": "tests.fakes.Slow", "seconds": 0.1}]}]
}
TWO = ("embed.Embed", "search.Search")


def written(folder: Path, data: object) -> Path:
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize("name", ["recording.yaml", "live.yaml", "gpu.yaml", "demo.yaml"])
def test_shipped_settings_are_valid(name: str) -> None:
    assert load_settings(CONFIGS / name).groups[0].source is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),  # a key nobody knows
        ({"fpir": 2}, "fpir = 2"),  # a value out of range, named with its key
        ({"engine": "spark"}, "engine = 'spark'"),  # not one of the choices
        ({"groups": []}, "groups"),  # nothing to do
        (
            {"groups": [{"name": "a", "source": {"use": "tests.fakes.Numbers", "speed": 1}}]},
            "unknown key 'speed' for tests.fakes.Numbers; allowed: pause_s",
        ),
        ({"groups": [{"name": "a", "source": {"use": "stages.nowhere.Nothing"}}]}, "stages.nowhere"),  # no such class
        ({"groups": [{"name": "a"}]}, "source is missing"),
        ({"annotate": [{"name": "a"}]}, "annotate.0.source is missing"),
        ({"groups": [{"source": {"use": "tests.fakes.Numbers"}}]}, "groups.0.name is missing"),
        ({"groups": [{"name": "a", "replicas": 0}]}, "groups.0.replicas = 0: .* or .*'auto'"),
        ({"groups": [{"name": "a", "speed": 1}]}, "unknown key 'groups.0.speed'; allowed: batch, cpus"),
        ({"shared": {"recogniser": "a.onnx"}}, "unknown key 'recogniser' for shared; allowed: pause_s, seconds"),
        ({"shared": {"pause_s": [1]}}, r"pause_s = \[1\] for tests.fakes.Numbers: Input should be a valid number"),
        ({"groups": [{"name": "a", "source": {"use": "tests.fakes.Numbers", "pause_s": "1,5"}}]}, "pause_s = '1,5' for"),
        (
            {"groups": [MINIMAL["groups"][0] | {"stages": [{"use": f"stages.{s}", "recognizer": s} for s in TWO]}]},
            "stages have different ones",
        ),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, change: dict, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        load_settings(written(tmp_path, MINIMAL | change))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_wrong_setting_does_not_tell_secrets(tmp_path: Path) -> None:
    for change in ({"alert": {"webhook_secret": "hunter2"}}, {"alerts": {"webhook_secret": ["hunter2"]}}, {"cameras": "hunter2"}):
        with pytest.raises(SettingsError) as caught:
            load_settings(written(tmp_path, MINIMAL | change))
        assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"groups is missing$"):
        load_settings(written(tmp_path, {"alerts": {"webhook_secret": "hunter2"}}))


def test_overrides_and_base(tmp_path: Path) -> None:
    written(tmp_path, MINIMAL)
    (tmp_path / "child.yaml").write_text("base: settings.yaml\nfpir: 0.5\n")
    assert load_settings(tmp_path / "child.yaml").fpir == 0.5
    assert load_settings(tmp_path / "child.yaml", fpir=0.001, engine=None).fpir == 0.001


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(SettingsError, match="not YAML"):
        load_settings(tmp_path / "bad.yaml")


def test_a_stage_gets_the_context_it_asks_for(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, MINIMAL))
    stage = build_stage(settings.groups[0].stages[0], {"seconds": 9.0, "out": tmp_path})
    assert stage._seconds == 0.1  # the file's own word beats the context


def test_credentials_never_show() -> None:
    assert redact("rtsp://joe:secret@10.0.0.1/a and http://x:y@h/") == "rtsp://***@10.0.0.1/a and http://***@h/"
    for url in (
        "rtsp://joe:se@cret@h/1",
        "rtsp://joe:se/cret@h/1",
        "rtsp://joe:se<cret@h/1",
        'rtsp://joe:se"cret@h/1',
        "http://h/v?user=joe&password=secret",
        "rtsp://h/user=joe_password=se_cret_channel=1_stream=0.sdp?real_stream",
        "rtsp://h/user=joe&password=secret&channel=1",
        "rtsp://h/live;user=joe;password=se;cret",
        "https://h/v?X-Amz-Signature=secret",
        "http://h/v?loginuse=joe&loginpas=secret",
        "http://h/v?usr=joe&psw=secret&pswd=secret&sig=secret",
    ):
        assert not {"joe", "se@", "se/", "cret", "secret"} & set(
            redact(url).replace("=", " ").replace(":", " ").split()
        ) and "cret" not in redact(url)


def test_what_is_no_secret_of_a_url_stays() -> None:
    url = "rtsp://h:554/user=joe_password=secret_channel=1_stream=0.sdp"
    assert redact(f"{url} is shut") == "rtsp://h:554/user=***_password=***_channel=1_stream=0.sdp is shut"
    for text in ("https://h/v/1?channel=2&stream=0", "/data/authors=a/b.mp4 is missing", "keys=3"):
        assert redact(text) == text
    assert redact("'http://h/v?token=secret' now") == "'http://h/v?token=***' now"
    assert redact("(http://h/v?token=secret).") == "(http://h/v?token=***)."
    assert redact("GET /v?token=secret HTTP/1.1") == "GET /v?token=*** HTTP/1.1"
    assert redact_url("rtsp://joe:se cr/et@h/1") == "rtsp://***@h/1"
    assert redact_url(os.fsdecode(b"/clips/caf\xe9.mp4")) == "/clips/caf\ufffd.mp4"  # can be printed and stored


def test_the_page_of_settings_is_up_to_date() -> None:
    from pipeline.settings_doc import page

    assert (CONFIGS.parent / "docs" / "settings.md").read_text() == page(), (
        "run: python -m pipeline.settings_doc > docs/settings.md"
    )
