"""A download that goes on where it stopped, and is never mixed from two versions of a file."""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

RETRY_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before the second, third, ... attempt
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20


class FetchError(ValueError):
    """The data cannot be fetched or unpacked; the message is one paragraph for the user."""


def download(url: str, target: Path, waits: Sequence[float] = RETRY_WAITS) -> None:
    """Fetch `url` to `target`, which appears only when it is complete.

    What arrives goes to `target`.part, and `target`.part.json says which version of which file it is: a further
    attempt, in this call or in a later one, asks for the rest of that same version and starts over if the server has
    another by now. After an attempt that fails in a way that may pass come at most len(waits) more. Raises FetchError.
    """
    part = target.with_name(target.name + ".part")
    for wait in (*waits, None):
        try:
            _receive(url, part)
            break
        except HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # the part is longer than the file, so it is of another version
                _forget(part)
            elif error.code < 500 and error.code not in (408, 429):
                raise FetchError(_failure(url, part, reason)) from error
        except (URLError, http.client.HTTPException, ConnectionError, TimeoutError, SSLError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if wait is None:
            raise FetchError(_failure(url, part, f"{len(waits) + 1} attempts failed, the last one: {reason}"))
        tqdm.write(f"{reason}; trying again in {wait:g} s", file=sys.stderr)
        time.sleep(wait)
    os.replace(part, target)
    _forget(part)


def _receive(url: str, part: Path) -> None:
    """One attempt. Returns when `part` is complete; raises ConnectionError if it ended too early."""
    version, offset = _kept(url, part)
    if offset and offset == version["size"]:
        return
    # An encoding on the way would make ranges count other bytes than those that are kept.
    request = Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "get_math_shepherd"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        strong = version["etag"] if version["etag"] and not version["etag"].startswith("W/") else None
        if strong or version["last_modified"]:
            request.add_header("If-Range", strong or version["last_modified"])
    with urlopen(request, timeout=TIMEOUT) as response:
        offered = _version(url, response)
        if offset and response.status == 206:
            if not _goes_on(response, offset, version, offered):
                _forget(part)
                raise ConnectionError("the file on the server has changed; the part downloaded before is discarded")
        else:
            _forget(part)  # before the new version is written down: a crash between must not mix the two
            _beside(part).write_text(json.dumps(offered), encoding="utf-8")
            version, offset = offered, 0
        size = version["size"] if offered["size"] is None else offered["size"]
        with open(part, "ab") as file, byte_bar(part.name, size, offset) as bar:
            while chunk := response.read1(CHUNK):  # what has come, so that a stop loses none of it
                file.write(chunk)
                bar.update(len(chunk))
    arrived = part.stat().st_size
    if size is not None and arrived != size:
        raise ConnectionError(f"the connection ended after {arrived:,} of {size:,} bytes")


def _version(url: str, response: http.client.HTTPResponse) -> dict:
    ranged = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
    size = ranged[1] if ranged else response.headers.get("Content-Length") if response.status == 200 else None
    return {
        "url": url,
        "etag": response.headers.get("ETag"),
        "last_modified": response.headers.get("Last-Modified"),
        "size": int(size) if size and size.isdigit() else None,
    }


def _goes_on(response: http.client.HTTPResponse, offset: int, version: dict, offered: dict) -> bool:
    """Whether a partial answer is the rest of this version; servers exist that overlook If-Range."""
    begins = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
    known = [key for key in offered if version[key] is not None and offered[key] is not None]
    return begins and all(version[key] == offered[key] for key in known)


def _kept(url: str, part: Path) -> tuple[dict, int]:
    """The version that `part` belongs to and the bytes there are of it; none if it is of another url."""
    try:
        version = json.loads(_beside(part).read_text(encoding="utf-8"))
        if version["url"] == url and {"etag", "last_modified", "size"} <= version.keys():
            return version, part.stat().st_size
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        pass  # nothing kept, or not readable as ours: start over
    return {}, 0


def _beside(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _beside(part).unlink(missing_ok=True)


def _failure(url: str, part: Path, reason: str) -> str:
    kept = f" What was downloaded is kept in {part}; the same command continues from there." if part.exists() else ""
    return (
        f"{url} cannot be fetched: {reason}.{kept} Check the network (http_proxy and https_proxy are "
        "obeyed), or fetch the file on another machine, for example with wget, and give it with --archive FILE."
    )


def byte_bar(what: str, total: int | None = None, done: int = 0) -> tqdm:
    """A progress bar in bytes, silent where no terminal shows it."""
    return tqdm(desc=what, total=total, initial=done, unit="B", unit_scale=True, disable=None)
