"""A server that answers something else than was asked for is named in a message."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llm.core.http_json import post
from llm.rewards.judges import Server

ANSWERS = {
    "a-list": b"[1]",
    "another": b'{"error": "no"}',
    "text": b'{"scores": "abc"}',
    "numbers": b'{"scores": [1]}',
    "no-json": b"<html>",
    "deep": b"[" * 100_000,
    "cut": b'{"sco',
    "no-http": b"",
    "few": b'{"scores": []}',
    "null": b'{"scores": [{"steps": [null]}]}',
    "words": b'{"scores": [{"steps": "abc"}]}',
}


class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        name = self.path.split("/")[1]
        if name == "no-http":
            self.wfile.write(b"nonsense\r\n\r\n")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWERS[name]) + 10 * (name == "cut")))
        self.end_headers()
        self.wfile.write(ANSWERS[name])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", list(ANSWERS)[:8])
def test_what_is_no_list_of_objects(url, name):
    with pytest.raises(ValueError, match=f"{url}/{name} gave no scores: ") as error:
        post(f"{url}/{name}", {}, None, 5, "scores", "scores")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("name", list(ANSWERS)[8:])
def test_scores_that_do_not_fit_what_was_asked(url, name):
    with pytest.raises(ValueError, match=f"{url}/{name} gave "):
        Server(f"{url}/{name}", seconds=5)(["q"], ["a"])
