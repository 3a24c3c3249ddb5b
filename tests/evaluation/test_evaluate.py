"""`python -m llm evaluate`: with a trained model and with given scores, continued, side by side; what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask.run_reward import main as train
from llm.core.paths import REPOSITORY
from llm.evaluation.evaluate import SUITES, main
from llm.evaluation.scored import by_model
from llm.scoring import scorer
from tests.factories import data_of, pairs_of, read_lines, write_config

SAMPLES = REPOSITORY.parent / "shared" / "samples"
ROWS = [{"problem": "q", "steps": ["a", "b"], "label": label} for label in (0, 1, -1)]


def write(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def refusal(capsys, *argv) -> str:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in argv])
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def data(tmp_path) -> Path:
    return write(tmp_path / "data.jsonl", ROWS)


@pytest.mark.slow
def test_given_scores_side_by_side_and_as_a_page(data, tmp_path, capsys):
    good = write(tmp_path / "good.jsonl", [{"scores": [0, 1]}, {"scores": {"steps": [1, 0]}}, {"scores": [1.0, 1.0]}])
    bad = write(tmp_path / "bad.jsonl", [{"scores": [0.9, 0.9]}, {"error": "too long"}, {"scores": [0.9, 0.4]}])
    words = ["processbench", data, "--scores", good, "--scores", bad, "--output", tmp_path / "out"]
    main([str(word) for word in words])
    models = results(tmp_path / "out")["models"]
    assert models["good"]["results"]["average"] == {"error": 1.0, "correct": 1.0, "f1": 1.0}
    assert models["bad"]["results"]["average"]["f1"] == 0.0
    assert (models["good"]["without_scores"], models["bad"]["without_scores"]) == (0, 1)
    screen = capsys.readouterr().out
    assert "bad: 1 row could not be scored, and counted as judged wrongly" in screen and "side by side" in screen
    page = (tmp_path / "out/report.html").read_text()
    assert "<td>good, threshold 0.5</td><td>1.000</td>" in page and "reliability" in page


@pytest.mark.parametrize(
    "rows, parts",
    [
        ([{"scores": [1, 1]}] * 2, ["2 rows of scores for 3 rows"]),
        (
            [{"scores": [1]}, {"scores": [1, 2]}, {"scores": None}],
            ["1 score for 2 steps", "[1, 2]", "list of probabilities"],
        ),
        ([{"scores": [[1, 1], [1, 1]]}] * 3, ["scores of 2 solutions"]),
        ([{"scores": [10**400, 1]}] * 3, ["list of probabilities"]),
        (
            [{"scores": {"reward": reward}} for reward in (10**400, True, "7")],
            ["reward is 1000", "reward is true", "It is a finite number"],
        ),
        (
            [{"steps": steps, "scores": [1, 1]} for steps in (["a", "other"], ["a ", "b"], ["a", "b"])],
            ["given.jsonl:1: these are scores of other steps than those of"],
        ),
    ],
)
def test_scores_that_do_not_fit_are_all_named(data, tmp_path, capsys, rows, parts):
    given = write(tmp_path / "given.jsonl", rows)
    message = refusal(capsys, "processbench", data, "--scores", given, "--output", tmp_path / "out")
    assert all(part in message for part in parts), message


def test_given_scores_are_read_before_a_model_scores(data, tmp_path, capsys):
    words = ["processbench", tmp_path / "no model", data, "--scores", tmp_path / "missing.jsonl"]
    message = refusal(capsys, *words, "--output", tmp_path / "out")
    assert "missing.jsonl" in message and "no model" not in message and "rows of scores" not in message


@pytest.mark.parametrize(
    "lines",
    ['{"log_odds": 7}', '{"log_odds": [["x"]]}', '{"log_odds": [[1], 2]}', "[]", "{", "", '{"log_odds": []}\n{}'],
)
def test_kept_scores_that_were_damaged_are_refused(data, tmp_path, lines):
    class OneModel:
        weights, dtype, calibration = "crc32", "float32", None

        class convention:
            label, of_steps = "ours", True

        def score_groups(self, groups):
            return ["too long"] * len(groups)

    items, output = SUITES["processbench"].read([data], lambda read: None)[:1], tmp_path / "scores.jsonl"
    assert by_model(OneModel(), "m", items, [data], output) == [(items[0], [])]
    output.write_text(lines + "\n")
    with pytest.raises(ValueError, match="Delete it, and start the same command again") as error:
        by_model(OneModel(), "m", items, [data], output)
    assert str(output) in str(error.value)


@pytest.mark.slow
def test_the_fitted_threshold_is_reported_with_the_one_that_was_asked_for(data, tmp_path):
    given = write(tmp_path / "given.jsonl", [{"scores": p} for p in ([0.7, 0.9], [0.9, 0.7], [0.9, 0.9])])
    words = ["processbench", data, "--scores", given, "--output", tmp_path / "out"]
    main([str(word) for word in [*words, "--fit-threshold", data, "--fit-scores", given]])
    found = results(tmp_path / "out")["models"]["given"]
    assert found["results"]["average"]["f1"] == 0.0
    assert found["fitted"]["average"]["f1"] == 1.0 and 0.7 <= found["fitted"]["threshold"] < 0.9


def test_what_is_refused(data, tmp_path, capsys):
    out = ["--output", tmp_path / "out"]
    assert "give SUITE MODEL DATA" in refusal(capsys, "processbench", data, *out)
    assert "no threshold" in refusal(capsys, "best-of-n", data, "--scores", data, "--fit_threshold", data, *out)
    assert "--fit_threshold" in refusal(capsys, "processbench", data, "--scores", data, "--fit_scores", data, *out)
    assert "nothere" in refusal(capsys, "processbench", tmp_path / "nothere", data, *out)
    assert "given twice" in refusal(capsys, "processbench", data, *["--scores", data] * 2, *out)
    for value in ("nan", "-0.1", "1.1"):
        message = refusal(capsys, "processbench", data, "--scores", data, f"--threshold={value}", *out)
        assert f"{value} is not between 0 and 1" in message


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A process and an outcome model after two updates, and the metrics that training printed of the first."""
    folder = tmp_path_factory.mktemp("trained")
    common = {"max_steps": 2, "save_strategy": "no", "evaluation_strategy": "no", "max_seq_len": 512}
    metrics = train(write_config(folder / "steps", **data_of(tiny), **common))
    train(write_config(folder / "pairs", **pairs_of(tiny), **common))
    return folder, metrics


@pytest.mark.runs
def test_the_metrics_of_steps_are_those_of_trainings_evaluation(trained, tiny, tmp_path):
    folder, metrics = trained
    main(["steps", str(folder / "steps/out"), str(tiny / "dev.jsonl"), "--output", str(tmp_path)])
    overall = results(tmp_path)["models"]["out"]["results"]["overall"]
    shared = {name for name in overall if f"eval_{name}" in metrics}
    assert {"accuracy", "auc", "ece", "first_error_accuracy", "steps"} <= shared
    assert {name: overall[name] for name in shared} == pytest.approx(
        {name: metrics[f"eval_{name}"] for name in shared}, abs=1e-5
    )


@pytest.mark.runs
def test_a_broken_evaluation_is_continued_where_it_was(trained, tiny, tmp_path, monkeypatch):
    folder, _ = trained
    words = ["steps", str(folder / "steps/out"), str(tiny / "dev.jsonl"), "--output"]
    main([*words, str(tmp_path / "straight")])
    main([*words, str(tmp_path / "broken")])
    file = tmp_path / "broken/out.scores.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:5]) + lines[5][:9])
    scored = []
    whole = scorer.Scorer.score_encoded
    monkeypatch.setattr(scorer.Scorer, "score_encoded", lambda self, some: scored.extend(some) or whole(self, some))
    main([*words, str(tmp_path / "broken")])
    assert len(scored) == len(lines) - 5
    straight = dict(numbers_of(results(tmp_path / "straight")))
    # the others are packed without those five, which changes the last digits
    assert dict(numbers_of(results(tmp_path / "broken"))) == pytest.approx(straight, abs=1e-5)


def numbers_of(found: object, place: str = "") -> Iterator[tuple[str, float]]:
    """(where, number) of all that is in a result."""
    members = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for name, member in members:
        yield from numbers_of(member, f"{place}/{name}")
    if isinstance(found, int | float):
        yield place, found


@pytest.mark.runs
def test_a_model_of_answers_is_refused_for_steps_and_ranks_preferences(trained, tiny, tmp_path, capsys):
    folder, _ = trained
    model = folder / "pairs/out"
    assert "scores whole answers" in refusal(capsys, "steps", model, tiny / "dev.jsonl", "--output", tmp_path / "a")
    main(["preference", str(model), str(tiny / "dev_pairs.jsonl"), "--output", str(tmp_path / "b")])
    found = results(tmp_path / "b")["models"]["out"]["results"]["overall"]
    trained_on = json.loads((model / "eval_results.json").read_text())
    assert found["pairs"] == len(read_lines(tiny / "dev_pairs.jsonl"))
    assert found["accuracy"] == pytest.approx(trained_on["eval_accuracy"])


@pytest.mark.runs
@pytest.mark.skipif(not SAMPLES.exists(), reason=f"no {SAMPLES}")
@pytest.mark.parametrize(
    "suite, file", [("processbench", "processbench/gsm8k.json"), ("prmbench", "prmbench/circular.jsonl")]
)
def test_published_files(trained, tmp_path, suite, file):
    """Every row is scored or counted; with 512 tokens this model cannot score the longest solutions."""
    folder, _ = trained
    main([suite, str(folder / "steps/out"), str(SAMPLES / file), "--output", str(tmp_path)])
    found = results(tmp_path)["models"]["out"]
    errors = sum("error" in row for row in read_lines(tmp_path / "out.scores.jsonl"))
    assert found["rows"] == {"processbench": 400, "prmbench": 90}[suite]
    assert found["without_scores"] == errors < found["rows"]
