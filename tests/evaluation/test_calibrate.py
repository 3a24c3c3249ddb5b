"""Calibration: what is planted is found, a calibrated model gives the fitted scores, other weights are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llm.alignment.rm.flashmask.run_reward import main as train
from llm.core.files import checksum_of_json
from llm.evaluation.calibrate import cross_entropy, fitted, halves, main, quality
from llm.evaluation.suite import Item
from llm.scoring import calibration
from llm.scoring.calibration import Calibration
from llm.scoring.scorer import Scorer
from llm.scoring.scores import Scores
from llm.scoring.solutions import solutions_of
from tests.factories import data_of, read_lines, write_config


def planted(slope: float, shift: float, steps: int = 40_000):
    """Log-odds r whose labels are drawn as if slope * r + shift were right."""
    random = np.random.default_rng(5)
    r = random.normal(1, 4, steps)
    p = 1 / (1 + np.exp(-(slope * r + shift)))
    return r, (random.random(steps) < p).astype("float64")


@pytest.mark.parametrize("method, slope, shift", [("temperature", 0.4, 0.0), ("platt", 0.5, -0.8), ("platt", 3.0, 1.0)])
def test_what_is_planted_is_found_and_lessens_every_error(method, slope, shift):
    r, y = planted(slope, shift)
    found = fitted(r, y, method)
    assert found == pytest.approx((slope, shift), rel=0.05, abs=0.05)
    before, after = quality(r, y), quality(found[0] * r + found[1], y)
    assert all(after[name] < before[name] for name in before) and after["ece"] < 0.01


def test_the_fit_is_the_least_cross_entropy():
    r, y = planted(0.7, 0.3, 500)
    slope, shift = fitted(r, y, "platt")
    least = cross_entropy(slope * r + shift, y)
    for d_slope, d_shift in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert cross_entropy((slope + d_slope) * r + shift + d_shift, y) > least


def test_scores_that_say_nothing_are_refused():
    r, y = planted(-1.0, 0.0)
    with pytest.raises(ValueError, match="no calibration can help"):
        fitted(r, y, "temperature")


def test_a_question_is_in_one_half():
    judged = []
    for number in range(400):
        (record,) = solutions_of({"question": f"q{number % 100}", "steps": ["a", "b"]}, "here")
        log_odds = np.full(2, float(number % 100))
        judged.append((Item("here", (record,), (1.0, 0.0)), [Scores(log_odds)]))
    first, second = (set(r.tolist()) for r, _ in halves(judged))
    assert first | second == set(range(100)) and not first & second
    with pytest.raises(ValueError, match="Give more data"):
        halves(judged[:8])


@pytest.mark.parametrize(
    "change",
    [{"slope": "x"}, {"slope": -1.0}, {"shift": float("inf")}, {"slope": 10**400}, {"method": None}, {"weights": 1}],
)
def test_a_file_that_is_no_calibration_of_this_model_is_refused(tmp_path, change):
    saved = Calibration("platt", 1.0, 0.0, "crc", "ours/1")
    path = calibration.save(saved, tmp_path, {})
    assert calibration.load(tmp_path, "crc", "ours/1") == saved
    content = {**json.loads(path.read_text()), **change}
    del content["checksum"]
    path.write_text(json.dumps(content | {"checksum": checksum_of_json(content)}))
    with pytest.raises(ValueError, match="calibration.json(?!.*has changed)"):
        calibration.load(tmp_path, "crc", "ours/1")


@pytest.mark.slow
def test_a_flipped_bit_of_a_calibration_changes_no_score(tmp_path):
    """It is refused, unless it only changes how the file is written."""
    saved = Calibration("temperature", 0.625, 0.0, "crc", "ours/1")
    path = calibration.save(saved, tmp_path, {"fitted on": 40, "before": {"ece": 0.25}})
    content, refused = path.read_bytes(), 0
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert calibration.load(tmp_path, "crc", "ours/1") == saved
        except ValueError as error:
            assert "calibration.json" in str(error)
            refused += 1
    assert refused > 0.9 * 8 * len(content)
    path.write_bytes(content.replace(b"0.625", b"0.626"))
    with pytest.raises(ValueError, match="calibration.json has changed since it was saved.*Fit it again"):
        calibration.load(tmp_path, "crc", "ours/1")


@pytest.mark.runs
def test_a_calibrated_model(tiny, tmp_path, capsys):
    common = {"max_steps": 2, "save_strategy": "no", "evaluation_strategy": "no", "max_seq_len": 512}
    train(write_config(tmp_path / "run", **data_of(tiny), **common))
    model, records = tmp_path / "run/out", read_lines(tiny / "dev.jsonl")
    with pytest.raises(ValueError, match="llm calibrate"):
        Scorer.load(model, calibrated=True)
    saved = Calibration("platt", 0.5, 2.0, Scorer.load(model).weights, Scorer.load(model).convention.label)
    calibration.save(saved, model, {})
    plain, calibrated = Scorer.load(model).score(records), Scorer.load(model, calibrated=True)
    assert "calibrated by platt: 0.5 * log-odds +2" in calibrated.describe()
    for before, after in zip(plain, calibrated.score(records), strict=True):
        np.testing.assert_allclose(after.log_odds, 0.5 * before.log_odds + 2, atol=1e-5)
    with pytest.raises(SystemExit):  # an untrained model, or too few labels: a message and no file
        main([str(model), str(tiny / "dev.jsonl"), "--output", str(tmp_path / "report")])
    assert "error:" in capsys.readouterr().err
