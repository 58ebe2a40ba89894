"""Security headers of every response: no content from other origins, no framing, scripts only on the console's own pages."""

from __future__ import annotations

from typing import Any

POLICY = (
    "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# The console's pages run only the scripts in static/. Style attributes are allowed, for timelines and boxes.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data: blob:; media-src 'self'; style-src 'self'; "
    "style-src-attr 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
TRANSPORT = {"strict-transport-security": "max-age=31536000"}  # sent over HTTPS only


class SecurityHeaders:
    """ASGI middleware that adds `HEADERS` to every response, except headers that the response already has.

    Args:
        app: the wrapped ASGI application.
        secure: add `TRANSPORT`, too: the console is served over HTTPS.
    """

    def __init__(self, app: Any, secure: bool = False) -> None:
        self._app, self._headers = app, HEADERS | (TRANSPORT if secure else {})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Any) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                more = [(k.encode(), v.encode()) for k, v in self._headers.items() if k.encode() not in known]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, receive, send_safely)
