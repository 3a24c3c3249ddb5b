"""A server of a model, in a thread of the test's process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import uvicorn

from llm.scoring.scorer import Scorer
from llm.serving.limits import Limits
from llm.serving.server import Service, make_app


@contextlib.contextmanager
def served(model: str, token: str) -> Iterator[str]:
    """Its URL."""
    app = make_app(Service(Scorer.load(model), "tiny", Limits(), "min"), token)
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        thread.join(0.02)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join(30)
