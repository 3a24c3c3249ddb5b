"""python -m llm serve MODEL: scores over HTTP.

    POST /score        {"solutions": [{"question": ..., "steps": [...]}]} -> probabilities, aggregates, first wrong step
    POST /get_reward   {"query": [...], "prompts": [...]} -> {"rewards": [...]}, as OpenRLHF's remote reward call
    POST /v1/score     {"text_1": question, "text_2": answers} -> {"data": [{"index": 0, "score": ...}]}, as vLLM's
    GET /              a page: paste a question and a solution, see its steps coloured
    GET /health, /metrics (Prometheus), /docs (OpenAPI)

Requests that wait are computed together. SIGTERM or Ctrl-C: what was accepted is answered first. Other hosts than this
one need --host and a token, from the variable PADDLE_REWARD_TOKEN.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import signal
import sys
from pathlib import Path

from llm.core.console import ArgumentParser, bounded, plain_errors
from llm.scoring.score import add_model_flags, load
from llm.scoring.scores import AGGREGATES
from llm.serving.limits import Limits

TOKEN = "PADDLE_REWARD_TOKEN"
# Python's threads take turns after 5 ms, and the one that speaks with the clients waits for its turn after every read
# and write of a socket while another one prepares what the model computes.
SWITCH_SECONDS = 5e-4


def main(argv: list[str]) -> None:
    options = _parser().parse_args(argv)
    with plain_errors(ValueError, OSError):
        token = os.environ.get(TOKEN) or None
        if token is None and not is_this_machine(options.host):
            raise ValueError(
                f"--host {options.host}: other machines could reach the server, so it needs a token. Set {TOKEN} to a "
                "long random text, which clients send as Authorization: Bearer TOKEN; or serve on 127.0.0.1."
            )
        try:
            import uvicorn

            from llm.serving.server import Service, make_app
        except ImportError as error:
            raise ValueError(f"{error.name} is not installed: pip install 'paddle-reward[serve]'") from None
        scorer = load(options, options.MODEL, options.convention)
        print(scorer.describe(), flush=True)
        limits = Limits(
            body_bytes=options.max_body_bytes,
            solutions=options.max_solutions,
            tokens=options.max_tokens,
            waiting_tokens=options.max_waiting_tokens,
            answer_seconds=options.timeout,
        )
        service = Service(scorer, Path(options.MODEL).name, limits, options.aggregate)
        sys.setswitchinterval(SWITCH_SECONDS)
        for number in (signal.SIGTERM, signal.SIGINT):  # which uvicorn obeys, and then sends again to who had it before
            signal.signal(number, lambda *_: None)
        uvicorn.run(
            make_app(service, token),
            host=options.host,
            port=options.port,
            access_log=False,
            log_level="warning" if options.quiet else "info",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=int(options.timeout) + 1,
        )


def is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_flags(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=bounded(int, 0, 65535), default=8000, help="default 8000")
    parser.add_argument(
        "--aggregate",
        choices=AGGREGATES,
        default="min",
        help="the one number of a solution's steps in /get_reward and /v1/score (default %(default)s)",
    )
    limits = Limits()
    parser.add_argument(
        "--max_body_bytes", type=bounded(int, 1), default=limits.body_bytes, help="of a request (default %(default)s)"
    )
    parser.add_argument(
        "--max_solutions", type=bounded(int, 1), default=limits.solutions, help="of a request (default %(default)s)"
    )
    parser.add_argument(
        "--max_tokens", type=bounded(int, 1), default=limits.tokens, help="of a request (default %(default)s)"
    )
    parser.add_argument(
        "--max_waiting_tokens",
        type=bounded(int, 1),
        default=limits.waiting_tokens,
        help="of all requests that wait; then the answer is 503 (default %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=bounded(float, 0.001, 86400),
        default=limits.answer_seconds,
        help="seconds until a request that waits is given up (default %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="say only what goes wrong")
    return parser
