"""The benchmark of the server: clients that are refused ask again, a wrong answer is seen, and the whole for real."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llm.alignment.rm.flashmask.run_reward import main
from llm.benchmark import run_benchmark
from llm.benchmark.serving import clients, serving
from tests.factories import data_of, write_config
from tests.runs import free_ports


@pytest.fixture
def moody():
    """A server that gives each solution its number as the score of its step, and refuses every third request."""
    asked = []

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["solutions"]
            asked.append(sent)
            status = 200 if len(asked) % 3 else 503
            body = json.dumps({"scores": [{"steps": [one["number"]]} for one in sent]}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 503:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


def test_clients_ask_for_all_solutions_and_count_what_is_refused(moody):
    port, asked = moody
    answers, _ = clients.ask(port, [{"number": n} for n in range(8)], clients=2, of_request=2, seconds=0.3)
    assert set(answers.statuses) == {200, 503} and answers.statuses.total() == len(asked)
    assert {place for place, _ in answers.scores} == set(range(8))
    assert len(answers.scores) == 2 * answers.statuses[200] == 2 * len(answers.seconds)
    right = [{"steps": [n]} for n in range(8)]
    assert serving.largest_difference(answers, right) == 0
    assert serving.largest_difference(answers, [*right[:-1], {"steps": [7.5]}]) == 0.5


def test_a_server_that_is_gone_is_counted():
    answers, _ = clients.ask(free_ports(1)[0], [{"number": 0}], clients=1, of_request=1, seconds=0.15)
    assert set(answers.statuses) == {0}
    with pytest.raises(ValueError, match="answered no request"):
        serving.figures("server", answers, 1.0)


@pytest.mark.runs
def test_a_model_is_served_and_every_answer_is_the_offline_score(tiny, tmp_path, first_in_a_process, capsys):
    main(write_config(tmp_path, **data_of(tiny), max_steps=1, do_eval=False, max_seq_len=512))
    data = str(tiny / "dev.jsonl")
    run_benchmark.main(["serving", str(tmp_path / "out"), data, "--clients", "3", "--seconds", "0.5"])
    outcome = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(outcome["statuses"]) == {"200"} and outcome["largest_difference"] < 1e-5
    assert outcome["server"]["solutions_per_second"] > 0 and outcome["share_of_offline"] > 0
