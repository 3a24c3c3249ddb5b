"""A trained model's scores: the same whatever is scored with them, from every folder that a training leaves."""

import io
import json
import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from llm.alignment.rm.flashmask.run_reward import main
from llm.core.model.whole import LIST
from llm.scoring import forests, scorer
from llm.scoring.scorer import Scorer
from tests.factories import data_of, pairs_of, read_lines, write_config

pytestmark = pytest.mark.runs


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A process reward model with a checkpoint, an outcome model from preferences, and adapters."""
    folder = tmp_path_factory.mktemp("trained")
    common = {"max_steps": 2, "save_steps": 2, "eval_steps": 2, "max_seq_len": 512}
    main(write_config(folder / "steps", **data_of(tiny), **common))
    main(write_config(folder / "pairs", **pairs_of(tiny), **common))
    main(write_config(folder / "lora", **data_of(tiny), **common, lora=True))
    return folder


def difference(one: list, other: list) -> float:
    pairs = list(zip(one, other, strict=True))
    assert all(len(a.log_odds) == len(b.log_odds) for a, b in pairs)
    return max(np.abs(a.log_odds - b.log_odds).max() for a, b in pairs)


def test_neighbours_order_and_packing_change_no_score(trained, tiny, monkeypatch):
    """Shuffled records, some twice, in rows and windows of other sizes: as one by one."""
    model, records = Scorer.load(trained / "steps/out"), read_lines(tiny / "dev.jsonl")
    records += records[:3]
    random.Random(1).shuffle(records)
    alone = [model.score([record])[0] for record in records]
    assert difference(alone, model.score(records)) < 1e-5
    monkeypatch.setattr(forests, "ROW_TOKENS", 64)
    monkeypatch.setattr(scorer, "AT_A_TIME", 7)
    assert difference(alone, model.score(records)) < 1e-5


def test_shared_beginnings_are_computed_once(trained, monkeypatch):
    model, sizes = Scorer.load(trained / "steps/out"), []
    run = forests._outputs_of_row
    monkeypatch.setattr(forests, "_outputs_of_row", lambda *a: sizes.append(len(a[2])) or run(*a))
    question = "What is 2 + 3 + 4?"
    solutions = [{"question": question, "steps": ["2 + 3 = 5", f"5 + 4 = {n}"]} for n in range(20)]
    model.score(solutions[:1])
    model.score(solutions)
    assert sizes[1] < 4 * sizes[0]


@pytest.mark.parametrize("name", ["steps", "pairs", "lora"])
def test_checkpoints_and_bfloat16(trained, tiny, name):
    """A checkpoint of the last update is the model; weights in 16 bits score what they would in 32."""
    records = read_lines(tiny / ("dev_pairs.jsonl" if name == "pairs" else "dev.jsonl"))[:10]
    model = Scorer.load(trained / name / "out")
    expected = model.score(records)
    assert difference(expected, Scorer.load(trained / name / "out/checkpoint-2").score(records)) < 1e-6
    half = Scorer.load(trained / name / "out", dtype="bfloat16")
    assert "weights in bfloat16, products in float32" in half.describe()
    sizes = Counter()
    for parameter in half.models[0][0].parameters():
        sizes[str(parameter.dtype)] += parameter.size
    assert sizes["paddle.bfloat16"] > 0.7 * sizes.total()  # of this tiny model; norms and adapters are small in others
    for parameter in model.models[0][0].parameters():
        if name != "lora":  # whose own parameters are computed with as they were saved
            parameter.set_value(parameter.astype("bfloat16").astype("float32"))
    assert difference(model.score(records), half.score(records)) < (0.1 if name == "lora" else 1e-5)


def test_a_folder_that_is_no_model_gets_a_message(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "nowhere", tmp_path / "empty", trained / "steps"):
        with pytest.raises(ValueError, match=str(folder)):
            Scorer.load(folder)


@pytest.mark.parametrize("name", ["steps", "lora"])
def test_a_model_of_fewer_positions_than_its_solutions_have_is_refused(trained, tmp_path, name):
    """Of a folder whose list of files is gone, so that no checksum tells."""
    folder = Path(shutil.copytree(trained / name / "out", tmp_path / "model"))
    (folder / LIST).unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 1}))
    with pytest.raises(ValueError, match=r"config.json .* attends over 1 tokens.* up to 512 were trained"):
        Scorer.load(folder)


@pytest.mark.parametrize("base", ["x", "\u200b", "/nowhere", f"/{'x' * 400}"])
def test_adapters_whose_base_is_not_there_name_their_file(trained, tmp_path, base):
    folder = Path(shutil.copytree(trained / "lora/out", tmp_path / "model"))
    config = json.loads((folder / "lora_config.json").read_text())
    (folder / "lora_config.json").write_text(json.dumps(config | {"base_model_name_or_path": base}))
    with pytest.raises(
        ValueError, match=f"base_model_name_or_path.*{folder}/lora_config.json|{folder}/lora_config.json: base"
    ):
        Scorer.load(folder)


def test_all_that_is_wrong_with_the_solutions_is_said_at_once(trained):
    model = Scorer.load(trained / "steps/out")
    with pytest.raises(ValueError) as error:
        model.score([{"question": "q", "steps": []}, {"question": "q", "steps": ["a"]}, {"steps": ["a"]}])
    assert "solution 0" in str(error.value) and "solution 2" in str(error.value)
    with pytest.raises(ValueError, match="max_seq_len"):
        model.score([{"question": "q", "steps": ["word " * 600]}])


# ---- python -m llm score


def rows_of(tiny) -> list:
    """The fourth cannot be scored, the fifth is not JSON."""
    records = enumerate(read_lines(tiny / "dev.jsonl")[:12])
    rows = [json.dumps({"question": r["src"][0], "steps": r["responses"], "id": number}) for number, r in records]
    return [*rows[:3], '{"question": "q", "steps": [], "id": 3}', "{", *rows[5:]]


def test_a_file_is_scored_in_place_and_a_broken_run_continued(trained, tiny, tmp_path, capsys, monkeypatch):
    from llm.scoring.score import main as score

    (tmp_path / "in.jsonl").write_text("\n".join(rows_of(tiny)))
    command = [str(trained / "steps/out"), str(tmp_path / "in.jsonl")]
    score([*command, str(tmp_path / "whole.jsonl")])
    assert "12 rows" in capsys.readouterr().out
    whole = read_lines(tmp_path / "whole.jsonl")
    assert [row.get("id") for row in whole] == [0, 1, 2, 3, None, *range(5, 12)]
    assert [number for number, row in enumerate(whole) if "error" in row] == [3, 4]
    good = [row for row in whole if "scores" in row]
    expected = Scorer.load(trained / "steps/out").score(good)
    assert [row["scores"] for row in good] == [one.as_dict() for one in expected]
    assert {row["convention"] for row in good} == {"paddle-reward/1"}

    broken, scored = tmp_path / "broken.jsonl", []
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    broken.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    (tmp_path / "broken.jsonl.run.json").write_bytes((tmp_path / "whole.jsonl.run.json").read_bytes())
    run = Scorer.score_encoded
    monkeypatch.setattr(Scorer, "score_encoded", lambda self, some: scored.extend(some) or run(self, some))
    score([*command, str(broken)])
    assert broken.read_bytes() == (tmp_path / "whole.jsonl").read_bytes() and len(scored) == 7
    assert "after 5 that were there" in capsys.readouterr().out


@pytest.mark.parametrize(
    "prepare, flags, reason",
    [
        (lambda out: out.write_text("{}\n"), [], "is not continued"),
        (lambda out: None, ["--threshold", "0.9"], "threshold: 0.5 then, 0.9 now"),
    ],
)
def test_results_of_something_else_are_not_continued(trained, tiny, tmp_path, capsys, prepare, flags, reason):
    from llm.scoring.score import main as score

    (tmp_path / "in.jsonl").write_text(rows_of(tiny)[0])
    command = [str(trained / "steps/out"), str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")]
    if flags:
        score(command)
    prepare(tmp_path / "out.jsonl")
    before = (tmp_path / "out.jsonl").read_bytes()
    with pytest.raises(SystemExit) as stop:
        score([*command, *flags])
    assert stop.value.code == 2 and reason in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_answers_of_a_preference_are_scored_both(trained, tiny, tmp_path):
    from llm.scoring.score import main as score

    score([str(trained / "pairs/out"), str(tiny / "dev_pairs.jsonl"), str(tmp_path / "out.jsonl")])
    rows = read_lines(tmp_path / "out.jsonl")
    assert all(len(row["scores"]) == 2 and set(row["scores"][0]) == {"score", "reward"} for row in rows)


def test_a_talk_at_the_terminal(trained, capsys):
    from llm.scoring.interactive import talk

    said = iter(["2 + 3?", "2 + 3 = 5", "So 6.", "", "q", "", ""])
    talk(Scorer.load(trained / "steps/out"), 0.5, ask=lambda prompt: next(said))
    shown = capsys.readouterr().out
    assert "2 + 3 = 5" in shown and "So 6." in shown and "min 0." in shown and "give at least one step" in shown


def test_the_end_of_a_pipe_ends_the_steps(trained, capsys, monkeypatch):
    from llm.scoring.interactive import talk

    monkeypatch.setattr("sys.stdin", io.StringIO("2 + 3?\n2 + 3 = 5\nSo 6."))
    talk(Scorer.load(trained / "steps/out"), 0.5)
    shown = capsys.readouterr().out
    assert "2 + 3 = 5" in shown and "So 6." in shown and "question>" not in shown


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["IN", "OUT", "--convention", "trl", "--conventions", "trl,pure"], "leave out --convention"),
        (["IN", "OUT", "--conventions", "trl,trl"], "twice"),
        (["--interactive", "--conventions", "trl,pure"], "leave out --convention"),
        (["--interactive", "--split_steps", "line"], "leave out --split_steps"),
    ],
)
def test_flags_without_effect_are_refused(flags, told, capsys):
    from llm.scoring.score import main as score

    with pytest.raises(SystemExit):
        score(["MODEL", *flags])
    assert told in capsys.readouterr().err


def test_a_reference_that_no_score_depends_on_is_refused(trained):
    with pytest.raises(ValueError, match="convention paddle-reward has none"):
        Scorer.load(trained / "steps/out", reference=trained / "steps/out")
