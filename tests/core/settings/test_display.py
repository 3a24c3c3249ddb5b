"""Screens, schema and saved settings show what a run uses."""

import json
import os
import re

import pytest

from llm.core.settings.display import render, save
from llm.core.settings.parse import parse
from llm.core.settings.settings import SettingsError
from tests.core.settings.toy_settings import CLASSES, MISPRINTS, one_problem, problems, read


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["absent.json", "--qqq", "--help"]])
def test_help_lists_every_parameter_once_within_the_width(argv, capsys, monkeypatch):
    """Under the names of the classes that declare them."""
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit) as done:
        read(*argv)
    text = capsys.readouterr().out
    assert not done.value.code
    assert max(map(len, text.splitlines())) <= 60
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    assert listed == [f"--{name}" for name in read().parameters]
    assert '  --evaluation_strategy  one of "no", "steps", "epoch";' in text
    assert "  --max_seq_len  integer; default 4096\n      Longest input.\n" in text
    assert "\nTraining\n  --output_dir" in text and "\nData\n  --paths" in text


def test_help_keeps_the_commands_of_a_description(capsys, monkeypatch):
    """A script gives its docstring: prose is wrapped, an indented command can be copied as it stands."""
    monkeypatch.setenv("COLUMNS", "30")
    command = "    python train.py CONFIG.json --max_steps 5"
    with pytest.raises(SystemExit):
        parse(CLASSES, ["--help"], f"Trains a model\nand evaluates it.\n\n{command}\n\nThe end.\n")
    assert f"\n\nTrains a model and evaluates\nit.\n\n{command}\n\nThe end.\n\n" in capsys.readouterr().out


def test_screen_shows_what_was_given_what_was_changed_and_how_many_defaults_there_are(config):
    got = config('{"max_steps": 5,\n "scale_loss": 2}', "--paths", "a", "b")
    got.change_default("no_cuda", True, "there is none")
    assert render(got).splitlines() == [
        "settings",
        "  scale_loss  prm.json:2    2.0",
        "  max_steps   prm.json:1    5",
        '  paths       command line  ["a", "b"]',
        "changed defaults",
        "  no_cuda: false -> true: there is none",
        f"{len(got.parameters) - 4} other settings have their defaults: --verbose lists them",
    ]


def test_the_verbose_screen_has_every_setting(config):
    got = config('{"max_steps": 5}')
    got.change_default("no_cuda", True, "there is none")
    lines = render(got, verbose=True).splitlines()
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in got.parameters)
    assert any(re.fullmatch(r"  no_cuda +changed default +true", line) for line in lines)


def test_a_key_to_an_account_is_not_shown():
    assert "s3cret" not in one_problem(read, "--wandb_api_key", "s3cret")


def test_hyphens_are_underscores_on_the_command_line(config):
    got = config({}, "--max-seq-len", "5", "--no-bf16", "--max-prompt-len=7")
    assert (got["max_seq_len"], got["bf16"], got["max_prompt_len"]) == (5, False, 7)
    assert "write max_seq_len" in one_problem(config, {"max-seq-len": 5})


def test_a_schema_is_for_editors(config):
    assert config({"$schema": "settings.schema.json", "max_steps": 5}).values == {"max_steps": 5}


def test_what_could_not_be_read_is_told_once_and_with_what_is_wrong_besides():
    """Later checks see the default of what could not be read, and say nothing of it."""
    got = parse(CLASSES, ["--max_steps", "2.5", "--max_seq_l", "5", "--eval_steps", "0"], "", MISPRINTS)
    for name in ("max_steps", "max_seq_len", "eval_steps"):
        got.refuse(name, "cannot be")
    with pytest.raises(SettingsError) as error:
        got.check()
    assert [problem.split(" = ")[0].split(": ")[1] for problem in error.value.problems] == [
        "max_steps",
        "max_seq_l",
        "eval_steps",
    ]


def test_saved_settings_start_the_same_run(config, tmp_path):
    """settings.json is a config that gives every value again, whatever the classes made of them."""
    written = {"max_steps": 5, "folder": "d", "evaluation_strategy": "epoch"}
    got = config(written, "--save_total_limit", "null")
    got.change_default("bf16", False, "no kernel")
    instances = got.build()
    save(got, instances, tmp_path / "out.json")
    assert sorted(os.listdir(tmp_path)) == ["out.json", "out_origin.json", "prm.json"]
    again = read(str(tmp_path / "out.json"))
    assert again.build() == instances
    assert {name: again[name] for name in got.parameters} == {name: got[name] for name in got.parameters}
    assert set(again.origin.values()) == {"file"}


def test_saved_origins_tell_where_a_value_came_from_and_what_became_of_it(config, tmp_path):
    """Read beside the settings, and refused in one line when taken for a config."""
    got = config({"max_steps": 5})
    got.change_default("bf16", False, "no kernel")
    save(got, got.build(), tmp_path / "out.json")
    origin = json.loads((tmp_path / "out_origin.json").read_text())
    assert origin["changed_defaults"] == ["bf16: true -> false: no kernel"]
    origin = origin["origin_of_settings"]
    assert origin["max_steps"] == {"origin": "prm.json:1"}
    assert origin["bf16"] == {"origin": "changed default"}
    assert origin["logging_dir"] == {"origin": "default", "in_use": "./checkpoints/runs"}
    assert origin["evaluation_strategy"] == {"origin": "default"}  # the Enum member is the same value
    assert len(problems(read, str(tmp_path / "out_origin.json"))) == 2


def test_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    """A full disk or a kill while writing must not cost the settings of the run before."""
    save(read("--max_steps", "5"), (), tmp_path / "out.json")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save(read("--max_steps", "6"), (), tmp_path / "out.json")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
