"""A question to a server and its answer, both JSON. The standard library alone: clients run in others' environments."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any


def post(url: str, body: dict[str, Any], token: str | None, seconds: float, wanted: str, what: str) -> Any:
    """The `wanted` field of the answer; ValueError with the URL where the server refuses, or gives no `what`."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return json.load(answer)[wanted]
    except urllib.error.HTTPError as error:
        raise ValueError(f"{url} answers {error.code}: {error.read(500).decode(errors='replace')}") from None
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{url} gave no {what}: {error}") from None
