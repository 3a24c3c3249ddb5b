"""What VisualDL shows of a run: every line of the log, once, also over restarts."""

import json
import shutil

import pytest
from visualdl import LogReader

from llm.alignment.rm.flashmask.run_reward import main
from llm.core.settings.reports import problem_of_reports
from llm.core.train.curves import RECORDS

pytestmark = pytest.mark.runs


def curves(out) -> dict[str, list[tuple[int, float]]]:
    """{curve: its points} of the one file that VisualDL serves of a folder."""
    records = [path.name for path in (out / "runs").iterdir() if "vdlrecords" in path.name]
    assert records == [RECORDS]
    reader = LogReader(file_path=str(out / "runs" / RECORDS))
    tags = reader.get_tags()["scalar"]
    return {tag: [(point.id, point.value) for point in reader.get_data("scalar", tag)] for tag in tags}


def logged(out, name: str) -> list[tuple[int, float]]:
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    return [(line["step"], line[name]) for line in history if name in line]


def assert_all_is_shown(out) -> None:
    shown = curves(out)
    for curve, name in (
        ("train/loss", "loss"),
        ("train/accuracy", "accuracy"),
        ("train/learning_rate", "learning_rate"),
        ("eval/loss", "eval_loss"),
        ("eval/auc", "eval_auc"),
    ):
        wanted = logged(out, name)
        assert [step for step, _ in shown[curve]] == [step for step, _ in wanted], curve
        assert [value for _, value in shown[curve]] == pytest.approx([value for _, value in wanted]), curve


def test_one_file_shows_every_update_and_every_evaluation(settings_of, tmp_path):
    """The evaluation after training included, which PaddleNLP's callback would put into a second file."""
    main(settings_of(eval_steps=2, save_steps=2, load_best_model_at_end=False))
    assert_all_is_shown(tmp_path / "out")
    assert [step for step, _ in curves(tmp_path / "out")["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in curves(tmp_path / "out")["eval/loss"]] == [2, 4, 6]


def test_a_resumed_run_goes_on_with_the_same_curves_without_a_step_twice(settings_of, tmp_path):
    flags = settings_of(load_best_model_at_end=False)
    main(flags)
    out = tmp_path / "out"
    before = curves(out)
    shutil.rmtree(out / "checkpoint-6")  # as if killed after update 5
    main(flags)
    assert_all_is_shown(out)
    for (step, value), (before_step, before_value) in zip(curves(out)["train/loss"], before["train/loss"], strict=True):
        assert step == before_step and value == pytest.approx(before_value)


def test_an_evaluation_alone_leaves_the_curves_of_the_training(settings_of, tmp_path):
    flags = {"eval_steps": 3, "save_steps": 3, "load_best_model_at_end": False}
    main(settings_of(**flags))
    before = curves(tmp_path / "out")
    main(settings_of(do_train=False, **flags))
    assert curves(tmp_path / "out") == before


def test_no_curves_where_none_are_asked_for(settings_of, tmp_path):
    main(settings_of(report_to="none", max_steps=1, do_eval=False, save_strategy="no"))
    assert not (tmp_path / "out" / "runs").exists()


def test_reports_are_known_installed_and_do_not_contradict_each_other():
    assert problem_of_reports([]) is None and problem_of_reports(["visualdl"]) is None
    assert problem_of_reports(["none"]) is None
    assert "does not know vdl" in problem_of_reports(["vdl"])
    assert "write it alone" in problem_of_reports(["none", "visualdl"])
    assert "pip install tensorboardX" in problem_of_reports(["tensorboard"])
