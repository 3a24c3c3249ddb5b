"""The faster way of making products in bfloat16 is measured once per processor, and can be forced."""

from __future__ import annotations

import pytest

from llm.core.cpu.bfloat16 import choice, onednn
from llm.core.cpu.processor import describe_processor
from llm.core.files import read_json


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(choice.SWITCH, raising=False)
    return tmp_path / "llm_cpu_kernels" / choice.FILE


def of_file(onednn_seconds: float):
    return {"onednn": onednn_seconds, "float32": 1.0}


def never():
    raise AssertionError("measured again")


def test_a_second_start_takes_what_the_first_one_measured(file):
    assert choice.kept_or_measured("A", lambda: of_file(0.5)) == of_file(0.5)
    assert choice.kept_or_measured("A", never) == of_file(0.5)
    assert choice.kept_or_measured("B", lambda: of_file(2.0)) == of_file(2.0)
    assert read_json(file) == {"A": of_file(0.5), "B": of_file(2.0)}


DAMAGED = ["", "{", "[1]", '{"A": 5}', '{"A": {"onednn": 0.5}}', '{"A": {"onednn": "x", "float32": 1.0}}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_measured_again(content, file):
    file.parent.mkdir()
    file.write_text(content)
    assert choice.kept_or_measured("A", lambda: of_file(0.5)) == of_file(0.5)
    assert choice.kept_or_measured("A", never) == of_file(0.5)


@pytest.mark.parametrize(("seconds", "name"), [(0.25, "onednn"), (4.0, "float32")])
def test_the_faster_way_is_taken_and_said(seconds, name, file, monkeypatch):
    monkeypatch.setattr(onednn, "why_not", lambda: "")
    monkeypatch.setattr(choice, "measure", lambda: of_file(seconds))
    found, line = choice.choose()
    assert found == name and f"(4.0 times as fast as the other way on {describe_processor()})" in line


def test_a_processor_without_such_products_multiplies_in_float32_and_says_why(file, monkeypatch):
    monkeypatch.setattr(onednn, "why_not", lambda: "unimplemented")
    name, line = choice.choose()
    assert name == "float32" and "oneDNN has none for" in line and "unimplemented" in line
    monkeypatch.setenv(choice.SWITCH, "onednn")
    with pytest.raises(ValueError, match="oneDNN makes no products in bfloat16 on .*: unimplemented. Write float32"):
        choice.choose()


def test_a_way_can_be_forced(file, monkeypatch):
    monkeypatch.setattr(onednn, "why_not", lambda: "")
    monkeypatch.setattr(choice, "measure", never)
    for name in choice.WAYS:
        monkeypatch.setenv(choice.SWITCH, name)
        assert choice.choose() == (name, f"{choice.SHOWN[name]} ({choice.SWITCH}={name})")
    monkeypatch.setenv(choice.SWITCH, "fast")
    with pytest.raises(ValueError, match="LLM_CPU_BFLOAT16=fast: there is no such way; write onednn or float32"):
        choice.choose()


def test_both_ways_are_measured_where_both_are_there():
    if why := onednn.why_not():
        pytest.skip(f"oneDNN makes no products in bfloat16 on this processor: {why}")
    assert all(seconds > 0 for seconds in choice.measure().values())
