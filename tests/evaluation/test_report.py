"""The page of an evaluation: its charts show what was counted, and no text of the data becomes part of the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from llm.evaluation.evaluate import main
from llm.evaluation.report import charts
from llm.evaluation.report.training_log import curves_of

HOSTILE = "<script>alert('x')</script> & \"</title>\""


def test_rates_of_finding_wrong_steps_from_no_threshold_to_all():
    p, wrong = np.array([0.1, 0.4, 0.4, 0.9]), np.array([True, True, False, False])
    found, missed = charts.rates(p, wrong)
    assert found.tolist() == [0.0, 0.5, 1.0, 1.0] and missed.tolist() == [0.0, 0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"log_history": 7}', '{"log_history": [7]}', '{"log_history": [{"step": "1"}]}']
)
def test_a_damaged_log_of_the_training_is_named(tmp_path, text):
    (tmp_path / "trainer_state.json").write_text(text)
    with pytest.raises(ValueError, match="trainer_state.json"):
        curves_of(str(tmp_path))


@pytest.fixture
def page(tmp_path) -> str:
    rows = [{"problem": HOSTILE, "steps": [HOSTILE, "b"], "label": label} for label in (0, 1, -1)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [{"scores": [0.2, 0.9]}, {"scores": [0.9, 0.9]}, {"scores": [0.0, 1.0]}]
    (tmp_path / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    words = ["processbench", "data.jsonl", "--scores", "given.jsonl", "--output", "out"]
    main([str(tmp_path / word) if "." in word or word == "out" else word for word in words])
    return (tmp_path / "out/report.html").read_text()


@pytest.mark.slow
def test_the_page_is_whole_needs_no_network_and_shows_texts_as_texts(page):
    class Reader(HTMLParser):
        tags: list[str] = []
        ids: list[str] = []
        text = ""

        def handle_starttag(self, tag, attributes):
            self.tags.append(tag)
            self.ids += [value for name, value in attributes if name == "id"]
            assert not [value for name, value in attributes if name == "src"]

        def handle_data(self, data):
            self.text += data

    reader = Reader()
    reader.feed(page)
    assert "script" not in reader.tags and HOSTILE in reader.text
    assert reader.tags.count("figure") == 5 and len(set(reader.ids)) == len(reader.ids)
    assert all(f"#{target}" not in page or target in reader.ids for target in re.findall(r'href="#([^"]+)"', page))


@pytest.mark.slow
def test_intervals_are_shown_where_there_are_some(tmp_path, page):
    assert "intervals by score" not in page
    record = {"src": "q", "responses": ["a", "b", "c"], "labels": [0.25, "+", "-"]}
    (tmp_path / "soft.jsonl").write_text(json.dumps(record) + "\n")
    scores = {"steps": [0.5, 0.9, 0.6], "low": [0.3, 0.8, 0.2], "high": [0.7, 1.0, 0.9]}
    (tmp_path / "ends.jsonl").write_text(json.dumps({"scores": scores}) + "\n")
    main(["steps", str(tmp_path / "soft.jsonl"), "--scores", str(tmp_path / "ends.jsonl"), "--output", str(tmp_path)])
    shown = (tmp_path / "report.html").read_text()
    assert "intervals by score" in shown
    step = (
        r'<span class="p">0.500</span> <span class="interval">\(0.30 to 0.70\)</span> <span class="label">label 0.25<'
    )
    assert re.search(step, shown)
    found = json.loads((tmp_path / "results.json").read_text())["models"]["ends"]["results"]["intervals"]
    assert found["all"] == {"coverage": pytest.approx(1 / 3), "interval_width": pytest.approx(1.3 / 3), "steps": 3}
    assert (found["0"]["coverage"], found["between"]["coverage"], found["1"]["coverage"]) == (0.0, 0.0, 1.0)
    (tmp_path / "ends.jsonl").write_text(json.dumps({"scores": {**scores, "low": [0.3]}}) + "\n")
    with pytest.raises(SystemExit):
        main(
            ["steps", str(tmp_path / "soft.jsonl"), "--scores", str(tmp_path / "ends.jsonl"), "--output", str(tmp_path)]
        )


@pytest.mark.slow
def test_the_solution_with_the_worst_step_comes_first(page):
    assert re.findall(r"<summary>.*data\.jsonl:(\d)", page) == ["3", "2", "1"]


@pytest.mark.slow
def test_charts_take_the_colour_of_the_page():
    steps = np.array([0.2, 0.8]), np.array([0.0, 1.0])
    svg = charts.chart("a title", charts.histogram, *steps)
    assert "currentColor" in svg and charts.INK not in svg
    assert svg == charts.chart("a title", charts.histogram, *steps)


def test_training_curves_are_those_of_the_log(tmp_path):
    assert curves_of(str(tmp_path)) == {}
    history = [{"step": 1, "loss": 0.7}, {"step": 2, "eval_loss": 0.6, "eval_auc": None}, {"step": 2, "loss": 0.5}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    assert curves_of(str(tmp_path)) == {"loss by update": {"training": ([1, 2], [0.7, 0.5]), "held-out": ([2], [0.6])}}


def test_recall_and_precision_do_not_depend_on_the_order_of_equal_scores():
    wrong = np.array([True, True, False, False])
    recall, precision = charts.recall_and_precision(np.full(4, 0.7), wrong)
    assert (recall.tolist(), precision.tolist()) == ([1.0], [0.5])
    recall, precision = charts.recall_and_precision(np.array([0.1, 0.3, 0.3, 0.9]), wrong)
    assert (recall.tolist(), precision.tolist()) == ([0.5, 1.0, 1.0], [1.0, 2 / 3, 0.5])
