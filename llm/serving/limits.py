"""What a request may be and have: its body's size, the time it takes, and a token where one is asked for. No paddle."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.responses import JSONResponse

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
OPEN = ("/", "/health")  # without a token: the page asks for it


@dataclass(frozen=True)
class Limits:
    body_bytes: int = 8 << 20
    solutions: int = 1024
    tokens: int = 1 << 18  # of a request, shared beginnings counted each time
    waiting_tokens: int = 1 << 20  # of all requests that wait
    body_seconds: float = 30.0
    answer_seconds: float = 120.0


class Guard:
    """In front of the application: refuses before anything is parsed. The body is read here, whole, in bounded memory
    and time."""

    def __init__(self, app: Any, limits: Limits, token: str | None):
        self.app, self.limits, self.token = app, limits, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if refusal := self._unauthorised(scope):
            await refusal(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._body(receive), self.limits.body_seconds)
        except asyncio.TimeoutError:
            await refuse(408, f"the body took longer than {self.limits.body_seconds:g} s")(scope, receive, send)
            return
        if body is None:
            await refuse(413, f"the body is larger than {self.limits.body_bytes:,} bytes")(scope, receive, send)
            return
        await self.app(scope, _replayed(body, receive), send)

    def _unauthorised(self, scope: Scope) -> JSONResponse | None:
        if self.token is None or scope["path"] in OPEN:
            return None
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, b"Bearer " + self.token.encode()):
            return None
        refusal = refuse(401, "give the server's token: Authorization: Bearer TOKEN")
        refusal.headers["WWW-Authenticate"] = "Bearer"
        return refusal

    async def _body(self, receive: Receive) -> bytes | None:
        """None if it is too large."""
        pieces, size = [], 0
        while True:
            message = await receive()
            piece = message.get("body", b"")
            size += len(piece)
            if size > self.limits.body_bytes:
                return None
            pieces.append(piece)
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return b"".join(pieces)


def _replayed(body: bytes, receive: Receive) -> Receive:
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay


def refuse(status: int, why: str, **headers: str) -> JSONResponse:
    return JSONResponse({"error": why}, status, {name.replace("_", "-"): value for name, value in headers.items()})
