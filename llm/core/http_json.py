"""A question to a server and its answer, both JSON. The standard library alone: clients run in others' environments."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any


class Refused(ValueError):
    """The server's answer is an error."""

    def __init__(self, url: str, status: int, text: str):
        super().__init__(f"{url} answers {status}: {text}")
        self.status = status


def post(url: str, body: dict[str, Any], token: str | None, seconds: float, wanted: str, what: str) -> list[dict]:
    """The objects in the `wanted` field of the answer; ValueError with the URL where the server refuses, or gives no
    `what`."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return _objects_in(json.load(answer), wanted)
    except urllib.error.HTTPError as error:
        raise Refused(url, error.code, error.read(500).decode(errors="replace")) from None
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise ValueError(f"{url} gave no {what}: {error}") from None


def _objects_in(content: Any, name: str) -> list[dict]:
    found = content.get(name) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"its answer has no list of {name}: {ascii(content)[:200]}")
    return found
