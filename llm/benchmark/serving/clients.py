"""Clients of a server that ask at once: what they were answered, and how long each answer took."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

ANSWER_SECONDS = 120


@dataclass
class Answers:
    statuses: Counter[int] = field(default_factory=Counter)  # 0: the connection broke
    seconds: list[float] = field(default_factory=list)  # of each answer with status 200
    scores: list[tuple[int, dict]] = field(default_factory=list)  # (number of the solution, its score)


def ask(port: int, solutions: list[dict], clients: int, of_request: int, seconds: float) -> tuple[Answers, float]:
    """(what all were answered, how long it took). Each client sends its next request when it has its answer; one that
    is refused with 503 waits as the answer says."""
    answers, lock, begin = Answers(), threading.Lock(), time.monotonic()

    def work(number: int) -> None:
        first = number * of_request
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        while time.monotonic() - begin < seconds:
            asked = [(first + place) % len(solutions) for place in range(of_request)]
            status, scores, took, wait = _post(connection, [solutions[place] for place in asked])
            with lock:
                answers.statuses[status] += 1
                if status == 200:
                    answers.seconds.append(took)
                    answers.scores += zip(asked, scores, strict=True)
            if status == 200:
                first += clients * of_request
            time.sleep(wait)
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, time.monotonic() - begin


def _post(connection: http.client.HTTPConnection, solutions: list[dict]) -> tuple[int, list[dict], float, float]:
    """(status, scores, seconds, seconds to wait before the next request)"""
    begin = time.perf_counter()
    try:
        body = json.dumps({"solutions": solutions})
        connection.request("POST", "/score", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it again
        return 0, [], 0.0, 0.1
    wait = float(response.headers.get("Retry-After", 0)) if response.status == 503 else 0.0
    scores = json.loads(content)["scores"] if response.status == 200 else []
    return response.status, scores, time.perf_counter() - begin, wait
