"""`python -m llm search` and `label`: what they write, that they continue, and a generator behind a server."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llm.alignment.rm.flashmask.run_reward import main as train
from llm.core.records.comparisons import Comparison, parse_comparison
from llm.core.records.records import read_records
from llm.core.text.answers import AnswerEncoder
from llm.core.text.load_tokenizer import load_tokenizer
from llm.data.generate_arithmetic import problems
from llm.evaluation.evaluate import main as evaluate
from llm.scoring.result_file import rejects_of
from llm.scoring.score import main as score
from llm.search import arithmetic, label, search
from llm.search.openai_server import ServerGenerator
from tests.factories import data_of, read_lines, write_config
from tests.runs import refusal
from tests.served import served

QUESTIONS = [{"question": one.question, "answer": arithmetic.answer(one)} for one in problems(5, split="dev")]
WORDS = ["--generator", "arithmetic"]
SERVER = ["--generator", "http://127.0.0.1:9/v1"]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    common = {"max_steps": 1, "save_strategy": "no", "evaluation_strategy": "no", "max_seq_len": 512}
    train(write_config(folder, **data_of(tiny), **common))
    return str(folder / "out")


@pytest.mark.runs
def test_what_search_keeps(model, tmp_path, capsys):
    questions = write(tmp_path / "q.jsonl", QUESTIONS)
    found = {}
    for keep in search.KEEP:
        search.main([model, questions, str(tmp_path / keep), *WORDS, "--n", "6", "--keep", keep])
        found[keep] = read_lines(tmp_path / keep)
    assert "chosen" in capsys.readouterr().out
    by_place = {keep: {row["place"]: row for row in rows} for keep, rows in found.items()}
    for place, best in by_place["best"].items():
        assert best["value"] >= by_place["worst"][place]["value"]
        assert len(by_place["candidates"][place]["candidates"]) == 6
    for place, pair in by_place["pairs"].items():
        assert pair["response"] == [by_place[keep][place]["response"] for keep in ("best", "worst")]
    for place, group in by_place["groups"].items():
        assert parse_comparison(group, "").answers[0] == by_place["best"][place]["response"]
    kept = [parse_comparison(row, "") for row in (*found["pairs"], *found["groups"])]
    assert kept
    encoder = AnswerEncoder(load_tokenizer(model), 512, 512, False)
    assert all(encoder.encode_pair(pair) for one in kept for pair in one.pairs()) and not encoder.counts.open_prompts
    evaluate(["best-of-n", model, str(tmp_path / "candidates"), "--output", str(tmp_path / "out")])
    assert len(read_lines(tmp_path / "out/out.scores.jsonl")) == 5


@pytest.mark.runs
def test_every_row_is_a_record_and_questions_without_one_are_in_the_rejects(model, tmp_path, capsys, monkeypatch):
    """To two questions all solutions are the same; a search that was broken off goes on in both files."""

    class Writes(arithmetic.ArithmeticGenerator):
        def complete(self, question, steps, count, first=0):
            is_same = question in [row["question"] for row in QUESTIONS[1:4:2]]
            return super().complete(question, steps, 1) * count if is_same else super().complete(question, steps, count)

    monkeypatch.setattr(search, "generator_of", lambda options, asked: generator_with(Writes, asked))
    questions, output = write(tmp_path / "q.jsonl", QUESTIONS), tmp_path / "pairs.jsonl"
    words = [model, questions, str(output), *WORDS, "--n", "3", "--keep", "pairs"]
    search.main(words)
    rejects = rejects_of(output)
    files = {file: file.read_text() for file in (output, rejects)}
    rows, rejected = read_lines(output), read_lines(rejects)
    assert sorted(row["place"] for row in (*rows, *rejected)) == [f"{questions}:{n}" for n in range(1, 6)]
    assert all(isinstance(parse_comparison(row, ""), Comparison) for row in rows)
    assert f"2 questions without a row there: {rejects} says why" in capsys.readouterr().out
    assert len(rejected) == 2 and all("equally good" in row["error"] for row in rejected)
    for cut in (output, rejects):  # in the row of the third and of the fourth question
        for file, text in files.items():
            first, second, *_ = text.splitlines(keepends=True)
            file.write_text(first + second[:7] if file == cut else first if cut == output else first + second)
        search.main(words)
        assert {one: one.read_text() for one in files} == files
    output.unlink()
    search.main([*words[:-1], "best"])
    assert len(read_lines(output)) == 5 and not rejects.exists()


@pytest.mark.runs
def test_solutions_that_cannot_be_scored_are_left_out_and_counted(model, tmp_path, capsys, monkeypatch):
    class Writes(arithmetic.ArithmeticGenerator):
        def complete(self, question, steps, count, first=0):
            return [[], ["word " * 2000], *super().complete(question, steps, count - 2, first)]

    monkeypatch.setattr(
        search, "generator_of", lambda options, asked: Writes(arithmetic.for_questions(asked, 0.2, 0).problems)
    )
    questions, output = write(tmp_path / "q.jsonl", QUESTIONS), tmp_path / "all.jsonl"
    search.main([model, questions, str(output), *WORDS, "--n", "5", "--keep", "candidates"])
    assert [len(row["candidates"]) for row in read_lines(output)] == [3] * 5
    assert "10 solutions could not be scored, and left out; the first: " in capsys.readouterr().out


def generator_with(kind, questions):
    return kind(arithmetic.for_questions(questions, 0.3, 0).problems, 0.3)


def test_votes_count_answers_that_are_the_same():
    texts = {"The answer is: 0.5": 0.9, "The answer is: 1/2": 0.2, "The answer is: 7": 0.8, "#### 7.0": 0.7}
    found = [(("a", text), value) for text, value in texts.items()] + [(("no answer",), 0.1)]
    right = search.counted([*found, (("so \\boxed{\\frac{1}{2}}",), 0.1)], "50%")
    assert right == {
        "with an answer": 1,
        "chosen": True,
        "majority vote": True,  # three to two
        "vote by value": False,  # 1.2 to 1.5
        "one at random": 0.5,
        "any": True,
    }
    assert not search.counted([(("no answer",), 0.9)], "50%")["majority vote"]


@pytest.mark.runs
@pytest.mark.parametrize("strategy", ["beam", "dvts"])
def test_a_broken_search_continues(model, tmp_path, strategy):
    questions = write(tmp_path / "q.jsonl", QUESTIONS)
    words = [model, questions, "OUT", *WORDS, "--n", "4", "--width", "2", "--strategy", strategy, "--lookahead", "1"]
    search.main([str(tmp_path / "whole") if word == "OUT" else word for word in words])
    search.main([str(tmp_path / "broken") if word == "OUT" else word for word in words])
    lines = (tmp_path / "broken").read_text().splitlines(keepends=True)
    (tmp_path / "broken").write_text("".join(lines[:2]) + lines[2][:5])
    search.main([str(tmp_path / "broken") if word == "OUT" else word for word in words])
    assert (tmp_path / "broken").read_text() == (tmp_path / "whole").read_text()


@pytest.mark.runs
@pytest.mark.parametrize(
    "words, told",
    [
        (["--stop_at", "0.5"], "gives no intervals. Train one with reward_head quantile"),
        (["--stop_at", "0.5", "--strategy", "beam"], "--stop_at: --strategy beam has no number of solutions to spare"),
        (["--at_a_time", "4"], "--at_a_time: without --stop_at there is one round"),
        (["--temperature", "1"], "--temperature: arithmetic has no such setting"),
        (["--width", "2", "--lookahead", "1"], "--width and --lookahead: of --strategy beam and dvts"),
        (["--reference", "other"], "--reference: only --convention implicit"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(model, tmp_path, capsys, words, told):
    questions = write(tmp_path / "q.jsonl", QUESTIONS)
    assert told in refusal(capsys, [model, questions, str(tmp_path / "out"), *WORDS, *words], search.main)


def test_labels_become_records(tmp_path, capsys):
    generator = arithmetic.for_questions([row["question"] for row in QUESTIONS], 0.4, 1)
    rows = [{**row, "steps": generator.complete(row["question"], (), 1)[0]} for row in QUESTIONS]
    solutions, output = write(tmp_path / "s.jsonl", rows), tmp_path / "labelled.jsonl"
    label.main([solutions, str(output), *WORDS, "--n", "4", "--rule", "hard", "--behind_error", "drop"])
    written = read_lines(output)
    assert [one["labelled_by"]["rule"] for one in written] == ["hard"] * 5
    records = read_records([str(output)])
    assert [list(record.labels) for record in records] == [one["labels"] for one in written]
    label.main([solutions, str(output), *WORDS, "--n", "4", "--rule", "hard", "--behind_error", "drop"])
    assert "0 solutions" in capsys.readouterr().out and len(read_lines(output)) == 5


@pytest.fixture(scope="module")
def server(model):
    with served(model, "secret") as url:
        yield url


@pytest.mark.runs
def test_a_judge_is_a_model_its_server_or_a_file_of_its_scores(model, server, tmp_path, monkeypatch, capsys):
    """All keep the same labels; one that has no scores, because the solution is too long, agrees with none."""
    monkeypatch.setenv("PADDLE_REWARD_TOKEN", "secret")
    generator = arithmetic.for_questions([row["question"] for row in QUESTIONS], 0.4, 1)
    rows = [{**row, "steps": generator.complete(row["question"], (), 1)[0]} for row in QUESTIONS]
    rows[2]["steps"][0] = rows[2]["steps"][0].replace("Step 1: ", "Step 1: " + "so " * 600)
    solutions, scores = write(tmp_path / "s.jsonl", rows), tmp_path / "scores.jsonl"
    score([model, solutions, str(scores)])
    found = {}
    for name, judge in {"model": model, "server": server, "file": scores}.items():
        label.main([solutions, str(tmp_path / name), *WORDS, "--n", "4", "--judge", str(judge)])
        found[name] = [one["labels"] for one in read_lines(tmp_path / name)]
    assert found["model"] == found["server"] == found["file"]
    assert set(found["model"][2]) == {None}
    assert {None} < {one for labels in found["model"] for one in labels}
    scores.write_text("".join(scores.read_text().splitlines(keepends=True)[:4]))
    message = refusal(capsys, [solutions, str(tmp_path / "o"), *WORDS, "--judge", str(scores)], label.main)
    assert "4 rows of scores for 5 solutions" in message
    write(scores, [{"scores": [0.5]}] * 5)
    message = refusal(capsys, [solutions, str(tmp_path / "o"), *WORDS, "--judge", str(scores)], label.main)
    assert "scores.jsonl:1: scores are [0.5], and the solution has" in message


@pytest.mark.parametrize(
    "rows, words, told",
    [
        ([{"question": "q", "steps": ["a"]}], WORDS, "answer is"),
        ([{"question": "q", "steps": [], "answer": "1"}], WORDS, "steps are"),
        ([{"steps": ["a"], "answer": "1"}], WORDS, "no question"),
        ([{"question": "q", "steps": ["a"], "answer": "1"}], WORDS, "1 of 1 question are not of the kind"),
        ([{"question": "q", "steps": ["a"], "answer": "1"}], ["--generator", "x"], "begins with http"),
        *(
            ([{"question": "q", "steps": ["a"], "answer": "1"}], [*SERVER, f"--prompt={prompt}"], "--prompt")
            for prompt in ("{question}", "{question}{steps}{x}", "{question}{steps}{", "{steps}{0}")
        ),
        ([{"question": "q", "steps": ["a"], "answer": "1"}], [*SERVER, "--separator", ""], "--separator is empty"),
        (
            [{"question": "q", "steps": ["a"], "answer": "1"}],
            ["--generator", "http://127.0.0.1:9/v1"],
            "gave no completions",
        ),
    ],
)
def test_refusals(tmp_path, capsys, rows, words, told):
    rows[0].setdefault("steps", ["a"])
    if told == "gave no completions":
        rows = [{**rows[0], "steps": ["a", "b"]}]
    message = refusal(capsys, [write(tmp_path / "s.jsonl", rows), str(tmp_path / "out"), *words], label.main)
    assert told in message


def test_flags_of_labels_that_would_have_no_effect_are_refused(tmp_path, capsys):
    words = [*WORDS, "--method", "first-error", "--rule", "hard", "--calibrated"]
    message = refusal(capsys, [write(tmp_path / "s.jsonl", []), str(tmp_path / "out"), *words], label.main)
    assert "--rule: first-error has labels" in message and "--calibrated: says how a model is read" in message


def test_all_rows_that_cannot_be_used_are_told_at_once(tmp_path, capsys):
    rows = [{"steps": ["a"]}, {"question": "q", "steps": [], "answer": True}, {"question": "q"}]
    shown = refusal(capsys, [write(tmp_path / "s.jsonl", rows), str(tmp_path / "out"), *WORDS], label.main)
    for text in (":1: no question", ":2: steps are", ":2: answer is", ":3: steps are", ":3: answer is"):
        assert text in shown


class Completions(BaseHTTPRequestHandler):
    """Two choices; one stops at the separator and one ends."""

    asked: list[dict] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        if body["model"] == "broken":
            return self.send_error(500, "no such model")
        whole = " 1 + 1 = 2 \n\nThe answer is: 2"
        stopped = {"text": "1 + 1 = 2", "finish_reason": "stop", "stop_reason": "\n\n"}
        ended = {"text": "The answer is: 2", "finish_reason": "stop", "stop_reason": None}
        choices = [stopped, ended] if "stop" in body else [{"text": whole}] * body["n"]
        answer = json.dumps({"choices": choices}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_a_generator_behind_a_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Completions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        generator = ServerGenerator(url, "name")
        assert generator.next_steps("q?", ["a"], 2) == [("1 + 1 = 2", False), ("The answer is: 2", True)]
        assert generator.complete("q?", [], 3) == [["1 + 1 = 2", "The answer is: 2"]] * 3
        assert Completions.asked[0]["prompt"] == "q?\n\na\n\n" and Completions.asked[0]["stop"] == ["\n\n"]
        with pytest.raises(ValueError, match="answers 500"):
            ServerGenerator(url, "broken").complete("q", [], 1)
    finally:
        server.shutdown()
        server.server_close()
