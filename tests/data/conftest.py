"""A server on this machine that answers as asked, and an archive that can be unpacked."""

from __future__ import annotations

import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.data.math_shepherd import DEV, TRAIN, tarball


@pytest.fixture
def good(tmp_path: Path) -> Path:
    folder = tarfile.TarInfo("Math-Shepherd")
    folder.type = tarfile.DIRTYPE
    members = [(folder, b""), ("Math-Shepherd/train.json", TRAIN), ("Math-Shepherd/test.json", DEV)]
    return tarball(tmp_path / "math-shepherd.tar.gz", *members)


class Site(ThreadingHTTPServer):
    """One file on 127.0.0.1; `plan` says what the next answers do, when it is used up they are whole."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.etag, self.modified = content, '"one"', None
        self.ranges, self.if_range, self.plan, self.asked = True, True, [], []
        self.url = f"http://127.0.0.1:{self.server_port}/data/math-shepherd.tar.gz"

    def change(self, content: bytes, etag: str | None) -> None:
        self.content, self.etag = content, etag


class Answer(BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self) -> None:
        site = self.server
        site.asked.append((self.headers["Range"], self.headers["If-Range"]))
        step = site.plan.pop(0) if site.plan else None
        if isinstance(step, int):
            self.send_error(step)
            return
        start = self.start(site)
        if start > len(site.content):
            self.send_error(416)
            return
        body = site.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        for name, value in (("ETag", site.etag), ("Last-Modified", site.modified)):
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if step else body)
        if callable(step):
            step()

    def start(self, site: Site) -> int:
        """Where the answer begins: RFC 9110's Range and If-Range, as far as this site cares about them."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        condition = self.headers["If-Range"] or ""
        same = condition in ("", site.etag, site.modified) and not condition.startswith("W/")
        other = site.if_range and not same
        return int(asked[1]) if asked and site.ranges and not other else 0

    def log_message(self, *_: object) -> None:
        pass


DROP = "half of the answer, then the connection ends"
CONTENT = bytes(range(256)) * 40
OTHER = bytes(reversed(CONTENT)) + b"more"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Site(CONTENT)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)
