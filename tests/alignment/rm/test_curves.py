"""What VisualDL shows of a run: every line of the log, once, also over restarts."""

import json
import shutil

import pytest
from visualdl import LogReader

from llm.alignment.rm.flashmask.run_reward import main
from llm.core.settings.reports import PACKAGES, problem_of_reports
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


def test_an_update_is_evaluated_once_in_the_log_and_the_curves(settings_of, tmp_path, capsys):
    """The best model is an earlier one: its figures are the results and say which model they are of. A finished run
    that is started again shows them again."""
    out, flags = tmp_path / "out", settings_of(learning_rate=0.5, metric_for_best_model="error_f1")
    results = main(flags)
    losses = dict(logged(out, "eval_loss"))
    assert losses.keys() == {3, 6} and losses[3] != pytest.approx(losses[6], rel=0.1)
    assert results["eval_loss"] == pytest.approx(losses[3])
    for _ in range(2):
        shown = capsys.readouterr().out
        _, end = shown.split("the model is the best checkpoint, of update 3\n")
        assert end.startswith("evaluation after update 3/6  loss ")
        assert json.loads((out / "eval_results.json").read_text())["eval_loss"] == pytest.approx(losses[3])
        assert_all_is_shown(out)
        assert [step for step, _ in curves(out)["eval/loss"]] == [3, 6]
        main(flags)


def test_what_the_last_update_was_evaluated_to_is_computed_and_shown_once(settings_of, tmp_path, capsys):
    flags = settings_of(load_best_model_at_end=False)
    for evaluations in (2, 1):  # in training; and of the finished run that is started again
        results = main(flags)
        shown = capsys.readouterr().out
        assert shown.count("evaluation after update 6/6") == 1 and shown.count("evaluation") == evaluations
        assert results["eval_loss"] == pytest.approx(dict(logged(tmp_path / "out", "eval_loss"))[6])
        assert json.loads((tmp_path / "out/eval_results.json").read_text())["eval_loss"] == results["eval_loss"]


def test_a_run_that_only_evaluates_promises_no_model(settings_of, tmp_path, capsys):
    main(settings_of(do_train=False))
    shown = capsys.readouterr().out
    assert "\nevaluation  loss " in shown and shown.endswith(f"\nresults: {tmp_path / 'out'}\n")
    assert (tmp_path / "out/eval_results.json").is_file() and not list((tmp_path / "out").glob("*.safetensors"))


def test_tensorboard_gets_the_same_points_in_one_file_over_restarts(settings_of, tmp_path):
    """And not a second file of PaddleNLP's callback, whose own ends with the training."""
    tensorboard = pytest.importorskip("tensorboardX")
    only_at_end = {"evaluation_strategy": "no", "eval_steps": ..., "load_best_model_at_end": False}
    out, flags = tmp_path / "out", settings_of(report_to=["visualdl", "tensorboard"], **only_at_end)
    main(flags)
    shutil.rmtree(out / "checkpoint-6")
    main(flags)
    assert_all_is_shown(out)
    (file,) = (out / "runs").glob("events.out.tfevents.*")
    rest, points = file.read_bytes(), []
    while rest:  # length, its checksum, the event, its checksum
        end = 12 + int.from_bytes(rest[:8], "little")
        event = tensorboard.proto.event_pb2.Event.FromString(rest[12:end])
        points += [(value.tag, event.step) for value in event.summary.value]
        rest = rest[end + 4 :]
    for tag in ("train/loss", "eval/loss"):
        assert [step for name, step in points if name == tag] == [step for step, _ in curves(out)[tag]], tag


def test_no_curves_where_none_are_asked_for(settings_of, tmp_path):
    main(settings_of(report_to="none", max_steps=1, do_eval=False, save_strategy="no"))
    assert not (tmp_path / "out" / "runs").exists()


def test_reports_are_known_installed_and_do_not_contradict_each_other(monkeypatch):
    monkeypatch.setitem(PACKAGES, "wandb", "a_package_that_nobody_has")
    assert problem_of_reports([]) is None and problem_of_reports(["visualdl"]) is None
    assert problem_of_reports(["none"]) is None
    assert "write it alone" in problem_of_reports(["none", "visualdl"])
    assert "pip install a_package_that_nobody_has" in problem_of_reports(["visualdl", "wandb"])
