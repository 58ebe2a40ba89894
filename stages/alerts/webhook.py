"""Posts alerts over HTTP. Whatever the receiver answers costs a bounded time and a bounded amount of memory."""

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
from stages.alerts.sinks import ANSWER_S, NotNow, Refused, is_address
from watchlist.alerts import Alert

HAS_IT = frozenset({409})
NEVER_WILL = frozenset({400, 413, 415, 422})  # our fault, not the receiver's state: asking again gives the same answer
LONGEST_WAIT_S = 600.0  # no receiver may put its alerts off for longer


class Webhook:
    """Posts each alert as JSON.

    ``Idempotency-Key`` is the alert's key, percent-encoded. With a ``secret``, ``X-Farsight-Signature`` is
    ``t=<Unix time>,v1=<hex>``, where hex is HMAC-SHA256 of ``<Unix time>.<body>``. Redirects are not followed: an alert goes to
    nobody but the address in the settings.
    """

    name = "webhook"

    def __init__(self, url: str, secret: str | None = None) -> None:
        if not is_address(url, "http", "https"):
            raise ValueError(f"alerts.webhook = {redact_url(url)!r}: must be an http:// or https:// address")
        self._url, self._secret = url, secret
        self._runner: asyncio.Runner | None = None
        self._client: Any = None

    def send(self, alert: Alert) -> None:
        if self._runner is None:
            self._runner = asyncio.Runner()
        try:
            status, headers = self._runner.run(asyncio.wait_for(self._post(alert), ANSWER_S))
        except TimeoutError:
            raise OSError(f"no answer within {ANSWER_S:g} s") from None
        if status in NEVER_WILL:
            raise Refused(f"answered {status}")
        if 200 <= status < 300 or status in HAS_IT:
            return
        if (wait_s := seconds_of(headers.get("retry-after"))) is not None:
            raise NotNow(f"answered {status}", min(wait_s, LONGEST_WAIT_S))
        if 300 <= status < 400 and (place := headers.get("location")):
            raise OSError(f"answered {status}: it has moved to {_place(self._url, place)}; set alerts.webhook to its new address")
        raise OSError(f"answered {status}")

    async def _post(self, alert: Alert) -> tuple[int, Any]:
        """Status and headers of the answer; its body is not read."""
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=ANSWER_S)
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


def seconds_of(retry_after: str | None) -> float | None:
    """The seconds that a ``Retry-After`` header asks for, as a number or a date; None for none and for one that is neither."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp())


def _place(url: str, location: str) -> str:
    """Scheme and host of a redirect: the rest may change each time, or hold a secret."""
    try:
        parts = urlsplit(urljoin(url, location))
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    except ValueError:
        return "an address that is none"
