"""Credentials as people write them, and variables of the environment."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from pipeline.addresses import encode_credentials, expand_url, expand_variables
from pipeline.errors import SettingsError


@pytest.mark.parametrize("sign", list("#/?@:%[] \\"))
@pytest.mark.parametrize("host", ["192.0.2.10", "gate:554", "[2001:db8::1]:8554"])
@pytest.mark.parametrize("path", ["", "/stream1", "/h264?channel=1&who=a@b"])
def test_a_password_may_hold_any_sign(sign: str, host: str, path: str) -> None:
    url = encode_credentials(f"rtsp://joe:se{sign}cret@{host}{path}", "camera gate: url")
    parts = urlsplit(url)
    assert parts.netloc.rpartition("@")[2] == host and url.endswith(host + path)
    assert (parts.username, unquote(parts.password or "")) == ("joe", f"se{sign}cret")


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://192.0.2.10/stream1",
        "rtsp://joe:se%23cret@192.0.2.10/stream1",
        "rtsp://192.0.2.10:554/user=joe@home",
        "http://localhost:80/x@y",
        "http://cam/mail/a@b",
        "http://[::1]:80/x@y",
        "/dev/video0",
        "a@b.mp4",
    ],
)
def test_what_is_right_stays_as_it_is(url: str) -> None:
    assert encode_credentials(url, "url") == url


def test_what_can_be_read_in_two_ways_is_refused_without_the_password() -> None:
    with pytest.raises(
        SettingsError, match=r"^camera gate: url: '\*\*\*@10.0.0.1/x' can be read in two ways; write .* %2F"
    ) as caught:
        encode_credentials("rtsp://admin:1234/5@10.0.0.1/x", "camera gate: url")
    assert "1234" not in str(caught.value)


def test_a_variable_holds_the_password_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "12/3#@ä")
    monkeypatch.setenv("BOTH", "joe:12/3#@ä")
    monkeypatch.setenv("WHOLE", "rtsp://joe:pa#ss@cam/x")
    monkeypatch.setenv("HOST", "cam:554")
    expected = "rtsp://joe:12%2F3%23%40%C3%A4@cam:554/x"
    assert expand_url("rtsp://joe:${WORD}@${HOST}/x", "url") == expected
    assert expand_url("rtsp://${BOTH}@${HOST}/x", "url") == expected
    assert expand_url("${WHOLE}", "url") == "rtsp://joe:pa%23ss@cam/x"


def test_a_line_break_of_a_secrets_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "secret\n")
    with pytest.raises(SettingsError, match=r"alerts\.webhook_secret: \$\{WORD\} holds a line break") as caught:
        expand_variables("${WORD}", "alerts.webhook_secret")
    assert "secret\n" not in str(caught.value)
