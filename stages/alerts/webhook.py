"""The webhook sink. The time and memory that an answer can cost are bounded."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from pipeline.errors import redact_url
from stages.alerts.sink import ANSWER_TIMEOUT_S, AlertRejected, RetryLater, is_valid_address
from watchlist.alert_tables import Alert

ALREADY_RECEIVED = frozenset({409})
PERMANENT_REJECTIONS = frozenset({400, 413, 415, 422})  # the request itself is at fault: a retry gives the same answer
MAX_RETRY_AFTER_S = 600.0  # upper limit of a Retry-After header


class WebhookSink:
    """Posts each alert as JSON.

    The header ``Idempotency-Key`` is the alert's key, percent-encoded. Redirects are not followed: an alert only goes to the
    address in the settings.

    Args:
        url: ``http://`` or ``https://`` address.
        secret: if set, the header ``X-Farsight-Signature`` is ``t=<Unix time>,v1=<hex>``, where hex is the HMAC-SHA256 of
            ``<Unix time>.<body>`` with this key.

    Raises:
        ValueError: the address is not valid.
    """

    name = "webhook"

    def __init__(self, url: str, secret: str | None = None) -> None:
        if not is_valid_address(url, "http", "https"):
            raise ValueError(f"alerts.webhook = {redact_url(url)!r}: must be an http:// or https:// address")
        self._url, self._secret = url, secret
        self._runner: asyncio.Runner | None = None
        self._client: Any = None

    def send(self, alert: Alert) -> None:
        if self._runner is None:
            self._runner = asyncio.Runner()
        try:
            status, headers = self._runner.run(asyncio.wait_for(self._post(alert), ANSWER_TIMEOUT_S))
        except TimeoutError:
            raise OSError(f"no answer within {ANSWER_TIMEOUT_S:g} s") from None
        if status in PERMANENT_REJECTIONS:
            raise AlertRejected(f"answered {status}")
        if 200 <= status < 300 or status in ALREADY_RECEIVED:
            return
        if (wait_s := parse_retry_after(headers.get("retry-after"))) is not None:
            raise RetryLater(f"answered {status}", min(wait_s, MAX_RETRY_AFTER_S))
        if 300 <= status < 400 and (location := headers.get("location")):
            target = _redirect_target(self._url, location)
            raise OSError(f"answered {status}: it has moved to {target}; set alerts.webhook to its new address")
        raise OSError(f"answered {status}")

    async def _post(self, alert: Alert) -> tuple[int, Any]:
        """Return status and headers of the answer; its body is not read."""
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=ANSWER_TIMEOUT_S)
        headers = {"Content-Type": "application/json", "Idempotency-Key": quote(alert.key, safe="/")}
        if self._secret:
            now = str(int(time.time()))
            mac = hmac.new(self._secret.encode(), f"{now}.{alert.content}".encode(), hashlib.sha256).hexdigest()
            headers["X-Farsight-Signature"] = f"t={now},v1={mac}"
        async with self._client.stream("POST", self._url, content=alert.content.encode(), headers=headers) as answer:
            return answer.status_code, answer.headers

    def close(self) -> None:
        if self._runner is not None:
            if self._client is not None:
                self._runner.run(self._client.aclose())
            self._runner.close()
            self._runner = self._client = None


def parse_retry_after(retry_after: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header, given as a number or a date; None if it is absent or neither."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp())


def _redirect_target(url: str, location: str) -> str:
    """Return scheme and host of a redirect: the rest may change each time, or contain a secret."""
    try:
        parts = urlsplit(urljoin(url, location))
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    except ValueError:
        return "an invalid address"
