"""The server: every answer equals the scorer's, bad requests are answered and harm nobody, what was accepted is
finished. In processes of their own, one of them as a user starts it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from multiprocessing.process import BaseProcess
from urllib.parse import urlencode

import httpx
import pytest

from llm.alignment.rm.flashmask.run_reward import main
from llm.core.parallel.ranks import has_ended
from llm.scoring.scorer import Scorer
from llm.serving.serve import is_this_machine
from llm.serving.serve import main as serve
from tests.factories import data_of, pairs_of, read_lines, write_config
from tests.runs import REPOSITORY, free_ports, start_forked

pytest.importorskip("prometheus_client")
pytestmark = pytest.mark.runs
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian's package chromium)")
SECONDS = 240
LIMITS = ("--max_body_bytes=200000", "--max_solutions=50", "--max_tokens=20000", "--max_waiting_tokens=30000")


def as_a_user(words: list[str], log, **variables: str) -> subprocess.Popen:
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-u", "-m", "llm", "serve", *words],
            cwd=REPOSITORY,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,
        )


def forked(words: list[str], log) -> BaseProcess:
    return start_forked(serve, words, REPOSITORY, log, {}, {})


class Server:
    def __init__(self, start, model, log, **variables: str):
        port, self.log = free_ports(1)[0], log
        self.url = f"http://127.0.0.1:{port}"
        self.process = start([str(model), f"--port={port}", *LIMITS], log, **variables)
        until = time.monotonic() + SECONDS
        while not self.answers():
            assert not has_ended(self.process.pid) and time.monotonic() < until, log.read_text()
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def post(self, path: str, body, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | headers
        return httpx.post(f"{self.url}{path}", content=content, timeout=SECONDS, headers=headers)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    main(write_config(folder / "steps", **data_of(tiny), max_steps=1, do_eval=False, max_seq_len=512))
    main(write_config(folder / "pairs", **pairs_of(tiny), max_steps=1, do_eval=False, max_seq_len=512))
    return folder


@pytest.fixture(scope="module")
def server(trained):
    server = Server(forked, trained / "steps/out", trained / "log")
    yield server
    server.process.kill()
    server.process.join()


@pytest.fixture(scope="module")
def expected(trained, tiny):
    """[(solution, its scores)]"""
    records = read_lines(tiny / "dev.jsonl")
    scores = Scorer.load(trained / "steps/out").score(records)
    plain = [{"question": record["src"][0], "steps": record["responses"]} for record in records]
    return list(zip(plain, scores, strict=True))


def test_many_clients_get_what_the_scorer_says(server, expected):
    """Different solutions at the same time, computed together."""
    wrong: list = []

    def ask(first: int) -> None:
        for number in range(first, first + 10):
            mine = [expected[(number + n) % len(expected)] for n in range(1 + number % 3)]
            answer = server.post("/score", {"solutions": [solution for solution, _ in mine]})
            steps = [score["steps"] for score in answer.json().get("scores", [])]
            if answer.status_code != 200 or steps != [pytest.approx(s.steps, abs=1e-5) for _, s in mine]:
                wrong.append((answer.status_code, answer.text))

    clients = [threading.Thread(target=ask, args=(7 * number,)) for number in range(16)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not wrong


def test_rewards_and_scores_in_the_forms_of_others(server, expected):
    (solution, scores) = expected[0]
    text = "\n\n".join(solution["steps"])
    sent = {"query": [solution["question"] + text], "prompts": [solution["question"]], "labels": ["x"]}
    answer = server.post("/get_reward", sent).json()
    assert answer["rewards"] == [pytest.approx(scores.min, abs=1e-5)] and answer["extra_logs"]["last"]
    ended = [solution["question"] + rest for rest in (f"{text}<|im_end|>", " \n</s>")]
    answer = server.post("/get_reward", {"query": ended, "prompts": [solution["question"]] * 2}).json()
    assert answer["rewards"] == [pytest.approx(scores.min, abs=1e-5), 0]
    answer = server.post("/v1/score", {"model": "m", "text_1": solution["question"], "text_2": [text, "5"]}).json()
    assert answer["data"][0]["score"] == pytest.approx(scores.min, abs=1e-5)
    assert [one["index"] for one in answer["data"]] == [0, 1]


@pytest.mark.parametrize(
    "path, body, status, reason",
    [
        ("/score", b'{"solutions": x', 422, "not JSON at character 14"),
        ("/score", b"\xff\xfe", 422, ""),
        ("/score", b"[" * 100000, 400, "parsing the body"),
        ("/score", {}, 422, "solutions"),
        ("/score", {"solutions": []}, 422, "solutions"),
        ("/score", {"solutions": [{"question": "q", "steps": ["a"]}], "treshold": 1}, 422, "treshold"),
        ("/score", {"solutions": [{"question": "q", "steps": ["a"]}], "threshold": 2}, 422, "threshold"),
        ("/score", {"solutions": [{"question": "q", "steps": []}, {"steps": ["a"]}]}, 422, "solution 1"),
        ("/score", {"solutions": [{"question": "q", "steps": ["word " * 600]}]}, 422, "max_seq_len"),
        ("/score", {"solutions": [{"question": "q", "steps": ["a"]}] * 51}, 413, "51 solutions"),
        ("/score", {"solutions": [{"question": "q " * 150, "steps": ["b " * 150]}] * 50}, 413, "tokens"),
        ("/score", b'{"solutions": "' + b"a" * 200000 + b'"}', 413, "200,000 bytes"),
        ("/score", b'{"solutions": [{"question": "\\ud800", "steps": ["a"]}]}', 422, ""),
        ("/get_reward", {"query": ["a b"], "prompts": ["b"]}, 422, "does not begin"),
        ("/get_reward", {"query": ["a b"], "prompts": []}, 200, ""),
        ("/v1/score", {"text_1": "a"}, 422, "text_2"),
        ("/nowhere", {}, 404, "/docs"),
        ("/health", {}, 405, "Not Allowed"),
    ],
)
def test_a_bad_request_gets_an_answer_and_the_next_one_is_served(server, expected, path, body, status, reason):
    answer = server.post(path, body)
    assert answer.status_code == status and reason in answer.text, answer.text
    assert len(answer.content) < 5000 and (status == 200 or set(answer.json()) == {"error"})
    assert server.post("/score", {"solutions": [expected[0][0]]}).status_code == 200


def test_slow_half_closed_and_dropped_connections_leave_it_serving(server, expected):
    host, port = server.url.removeprefix("http://").split(":")
    sockets = []
    for sent in (
        b"",
        b"POST /score HTTP/1.1\r\nHost: a\r\n",
        b"POST /score HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{",
        b"\0" * 100,
    ):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(sent)
        sockets.append(connection)
    sockets[1].shutdown(socket.SHUT_WR)
    sockets[2].close()
    assert server.post("/score", {"solutions": [expected[0][0]]}).status_code == 200
    for connection in sockets:
        connection.close()
    assert server.answers()


def test_metrics_count_and_the_log_has_no_text(server, expected):
    before = server.log.read_text()
    server.post("/score", {"solutions": [{"question": "SECRET", "steps": ["SECRET"]}]})
    server.post("/score", {"solutions": [{"question": "SECRET", "SECRET": []}]})
    metrics = httpx.get(f"{server.url}/metrics").text
    assert 'paddle_reward_requests_total{path="/score",status="200"}' in metrics
    assert "paddle_reward_waiting_tokens 0.0" in metrics
    assert "SECRET" not in server.log.read_text()[len(before) :] and "SECRET" not in metrics
    assert httpx.get(f"{server.url}/openapi.json").json()["paths"].keys() >= {"/score", "/get_reward", "/v1/score"}


def test_too_many_at_once_are_asked_to_come_again(server, expected):
    """Requests that fill the room: the answers are the scores or 503, and never an error."""
    many, statuses = {"solutions": [solution for solution, _ in expected] * 2}, []
    many["solutions"] = many["solutions"][:50]

    def ask() -> None:
        answer = server.post("/score", many)
        statuses.append((answer.status_code, answer.headers.get("retry-after")))

    clients = [threading.Thread(target=ask) for _ in range(40)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert set(statuses) == {(200, None), (503, "1")}


def test_a_server_with_a_token_gives_rewards_and_ends_at_a_sigterm(trained, expected, tiny):
    """Of a model of answers. The token is asked for; what was accepted before the signal is answered."""
    token = {"Authorization": "Bearer right"}
    server = Server(as_a_user, trained / "pairs/out", trained / "pairs.log", PADDLE_REWARD_TOKEN="right")
    try:
        assert_asks_for_token(server, {"solutions": [expected[0][0]]}, token)
        pair = read_lines(tiny / "dev_pairs.jsonl")[0]
        rewards = [one.reward for one in Scorer.load(trained / "pairs/out").score([pair])]
        query = [pair["src"][0] + answer for answer in pair["response"]]
        found = server.post("/get_reward", {"query": query, "prompts": pair["src"] * 2}, **token).json()["rewards"]
        assert found == pytest.approx(rewards, abs=1e-4)
        assert_answers_what_it_accepted(server, {"solutions": [solution for solution, _ in expected][:50]}, token)
    finally:
        server.process.kill()
        server.process.wait()


def assert_asks_for_token(server, body, token) -> None:
    assert server.post("/score", body).status_code == 401
    assert server.post("/score", body, Authorization="Bearer wrong").status_code == 401
    assert server.post("/score", body, **token).status_code == 200
    assert httpx.get(f"{server.url}/metrics").status_code == 401 and httpx.get(server.url).status_code == 200


def assert_answers_what_it_accepted(server, many, token) -> None:
    answers: list = []
    clients = [threading.Thread(target=lambda: answers.append(server.post("/score", many, **token))) for _ in range(4)]
    for client in clients:
        client.start()
    until = time.monotonic() + SECONDS
    while not answers and time.monotonic() < until:
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(SECONDS) == 0
    for client in clients:
        client.join()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert "Traceback" not in server.log.read_text()


def test_other_hosts_need_a_token(trained, capsys):
    with pytest.raises(SystemExit) as stop:
        serve([str(trained / "steps/out"), "--host", "0.0.0.0"])
    assert stop.value.code == 2 and "needs a token" in capsys.readouterr().err
    assert is_this_machine("127.0.0.1") and is_this_machine("::1") and is_this_machine("localhost")
    assert not is_this_machine("0.0.0.0") and not is_this_machine("example.org")


# ---- the page, in a browser


def page_with(url: str, folder, **texts: str) -> str:
    """The page's content after its scripts have run."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--virtual-time-budget=8000"]
    command = [CHROMIUM, *options, "--window-size=900,1000", f"--screenshot={folder}/page.png", "--dump-dom"]
    done = subprocess.run([*command, f"{url}/#{urlencode(texts)}"], capture_output=True, text=True, timeout=SECONDS)
    return done.stdout


@needs_browser
def test_steps_appear_with_their_scores(server, expected, tmp_path):
    solution, scores = next((s, p) for s, p in expected if p.first_below() is not None)
    shown = page_with(server.url, tmp_path, question=solution["question"], solution="\n".join(solution["steps"]))
    items = re.findall(r"<li ([^>]*)><b>([\d.]+)</b><span>([^<]*)</span>", shown)
    assert [float(score) for _, score, _ in items] == [pytest.approx(p, abs=6e-4) for p in scores.steps]
    assert ['class="first"' in attributes for attributes, _, _ in items].index(True) == scores.first_below()
    assert items[0][2] == solution["steps"][0].replace("<", "&lt;").replace(">", "&gt;") and "min 0." in shown


@needs_browser
def test_what_is_wrong_is_said(server, tmp_path):
    shown = page_with(server.url, tmp_path, question="q", solution="<b>word</b> " * 600)
    assert "max_seq_len" in re.search(r'role="alert">([^<]*)', shown)[1]
    assert "<li" not in shown
