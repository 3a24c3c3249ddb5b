"""Contracts of llm.core.settings.parse: a setting is obeyed or refused, and one can see where it came from."""

import json
import os
import re
import string
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, List, Literal, Optional, Union  # noqa: UP035 - the trainer's classes use these forms

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from llm.core.settings.display import render, save
from llm.core.settings.parse import parse
from llm.core.settings.settings import SettingsError


class Strategy(Enum):
    NO = "no"
    STEPS = "steps"
    EPOCH = "epoch"


@dataclass
class TrainerBase:
    """Stands for the trainer's own class: defaults of another form than the type, typing's old spellings."""

    output_dir: str = field(metadata={"help": "Where it goes."})
    evaluation_strategy: Strategy = field(default="no", metadata={"help": "When to evaluate."})
    eval_steps: int = field(default=None, metadata={"help": "Steps between evaluations."})
    save_total_limit: Optional[int] = None  # noqa: UP045
    label_names: Optional[List[str]] = None  # noqa: UP006, UP045
    skip_intervals: Optional[List[List[int]]] = None  # noqa: UP006, UP045
    scale_loss: float = 32768
    logging_dir: Optional[str] = None  # noqa: UP045
    no_cuda: bool = False


@dataclass
class Training(TrainerBase):
    """What our documents describe."""

    output_dir: str = field(default="./checkpoints", metadata={"help": "Where the checkpoints go."})
    max_steps: int = field(default=100, metadata={"help": "Steps to run."})
    learning_rate: float = field(default=1e-6, metadata={"help": "Its initial value, reached after warm-up."})
    bf16: bool = field(default=True, metadata={"help": "Compute in bfloat16."})
    granularity: str = field(default="full", metadata={"help": "What.", "choices": ["full", "core_attn"]})

    def __post_init__(self):
        self.evaluation_strategy = Strategy(self.evaluation_strategy)
        self.logging_dir = self.logging_dir or f"{self.output_dir}/runs"


@dataclass
class Data:
    paths: Union[str, List[str]] = "train.json"  # noqa: UP006, UP007
    max_seq_len: int = field(default=4096, metadata={"help": "Longest input."})
    max_prompt_len: int = 2048
    folder: Path = Path("data")
    extra: dict = field(default_factory=dict)
    sizes: List[int] = field(default_factory=lambda: [1, 2])  # noqa: UP006
    level: Literal[1, 2, "auto"] = "auto"
    granularity: str = field(default="full", metadata={"help": "What.", "choices": ["full", "core_attn"]})


CLASSES = (Training, Data)
MISPRINTS = {"max_seq_le": "max_seq_len"}


def checked(*arguments):
    settings = parse(*arguments)
    settings.check()
    return settings


def read(*argv):
    return checked(CLASSES, list(argv), "Trains.", MISPRINTS)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Write the text (or the object) as prm.json in the working directory and parse it with more words."""
    monkeypatch.chdir(tmp_path)

    def from_file(content, *argv):
        content = content if isinstance(content, str | bytes) else json.dumps(content, ensure_ascii=False)
        Path("prm.json").write_bytes(content.encode() if isinstance(content, str) else content)
        return read("prm.json", *argv)

    return from_file


def problems(function, *argv):
    with pytest.raises(SettingsError) as caught:
        function(*argv)
    assert all(line in str(caught.value) for line in caught.value.problems)
    return caught.value.problems


def one_problem(function, *argv):
    (line,) = problems(function, *argv)
    return line


# ---- where a value comes from ---------------------------------------------------------------------------


def test_command_line_wins_over_file_wins_over_default(config):
    """The last word is the command line's, and origin and place tell who had it."""
    got = config('{"max_steps": 5,\n "max_seq_len": 6}', "--max_steps", "7")
    assert (got["max_steps"], got["max_seq_len"], got["max_prompt_len"]) == (7, 6, 2048)
    assert got.values == {"max_steps": 7, "max_seq_len": 6}
    assert [got.origin[name] for name in ("max_steps", "max_seq_len", "max_prompt_len")] == [
        "command line",
        "file",
        "default",
    ]
    assert got.place == {"max_steps": "command line", "max_seq_len": "prm.json:2"}


def test_build_passes_what_was_given_and_leaves_the_rest_to_the_class(config):
    """Enum and Path fields get their types, a name in two classes fills both, defaults stay defaults."""
    got = config({"evaluation_strategy": "epoch", "folder": "a/b", "granularity": "core_attn"})
    assert (got["evaluation_strategy"], got["folder"]) == ("epoch", "a/b")
    training, data = got.build()
    assert training == Training(evaluation_strategy=Strategy.EPOCH, granularity="core_attn")
    assert data == Data(folder=Path("a/b"), granularity="core_attn")
    assert data.sizes is not got.build()[1].sizes


def test_no_words_at_all_are_the_defaults():
    assert read().build() == (Training(), Data())


def test_a_required_key_is_asked_for_unless_the_file_could_not_be_read(config):
    """Without its file nobody knows what is missing, so only the file is reported then."""
    required = (TrainerBase,)
    assert one_problem(checked, required, [], "") == (
        "output_dir: has no default and is not given; write it in the file or as --output_dir VALUE"
    )
    assert "absent.json" in one_problem(checked, required, ["absent.json"], "")
    assert "expected text, got integer" in one_problem(config, {"output_dir": 5})
    assert parse(required, ["--output_dir", "o"], "").build() == (TrainerBase("o"),)


# ---- command line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, name, value",
    [
        ("--max_steps 7", "max_steps", 7),
        ("--max_steps=7", "max_steps", 7),
        ("--max_steps -1", "max_steps", -1),
        ("--max_steps 5.0", "max_steps", 5),
        ("--max_steps 1e3", "max_steps", 1000),
        ("--learning_rate 1e-6", "learning_rate", 1e-6),
        ("--learning_rate .5", "learning_rate", 0.5),
        ("--bf16", "bf16", True),
        ("--bf16 False", "bf16", False),
        ("--bf16=0", "bf16", False),
        ("--bf16 yes", "bf16", True),
        ("--no_bf16", "bf16", False),
        ("--no_cuda", "no_cuda", True),  # a parameter of that name, not the negation of another
        ("--output_dir=--odd", "output_dir", "--odd"),
        ("--output_dir -odd", "output_dir", "-odd"),
        ("--output_dir=a=b", "output_dir", "a=b"),
        ("--output_dir=", "output_dir", ""),
        ("--output_dir null", "output_dir", "null"),  # a text that may not be null
        ("--save_total_limit null", "save_total_limit", None),
        ("--paths a", "paths", "a"),
        ("--paths a b", "paths", ["a", "b"]),
        ('--paths ["a","b"]', "paths", ["a", "b"]),
        ("--paths [ab]*.json", "paths", "[ab]*.json"),
        ("--label_names a", "label_names", ["a"]),
        ("--label_names []", "label_names", []),
        ("--label_names 1 2", "label_names", ["1", "2"]),
        ("--sizes 3 4", "sizes", [3, 4]),
        ("--skip_intervals [[1,100]]", "skip_intervals", [[1, 100]]),
        ("--skip_intervals [1,100] [200,300]", "skip_intervals", [[1, 100], [200, 300]]),
        ('--extra {"a":1}', "extra", {"a": 1}),
        ("--level 2", "level", 2),
        ("--level auto", "level", "auto"),
        ("--evaluation_strategy epoch", "evaluation_strategy", "epoch"),
    ],
)
def test_words_of_the_command_line_mean(words, name, value):
    got = read(*words.split(" "))
    assert (type(got[name]), got[name], got.values) == (type(value), value, {name: value})


@pytest.mark.parametrize(
    "words, parts",
    [
        ("--max_steps", ["max_steps", "a value is missing", "integer", "--max_steps=VALUE"]),
        ("--max_steps 5 6", ["takes one value"]),
        ("--max_steps ten", ['max_steps = "ten"', "expected integer, got text", "default is 100"]),
        ("--max_steps 1_000", ["expected integer"]),
        ("--max_steps ٣", ["expected integer"]),
        ("--max_steps 5.5", ["expected integer"]),
        ("--max_steps 1e30", ["too large to be exact"]),
        ("--max_steps true", ["expected integer"]),
        ("--learning_rate nan", ["expected number"]),
        ("--learning_rate 1e999", ["finite"]),
        ("--bf16 maybe", ["expected true/false", '"maybe"']),
        ("--no_bf16 true", ["takes no value", '"true"']),
        ("--no_max_steps", ["no_max_steps", "unknown setting", "max_steps"]),
        ("--bf16 --no_bf16", ["bf16", "given twice"]),
        ("--max_steps 5 --max_steps=5", ["max_steps", "given twice"]),
        ("--max_seq 5", ["not abbreviated; write max_seq_len"]),
        ("--max_ 5", ["write max_steps or max_seq_len or max_prompt_len"]),
        ("--max_seq_le 5", ["unknown setting; write max_seq_len"]),
        ("--Max_Seq_Len 5", ["write max_seq_len"]),
        ("--max_sqe_len 5", ["write max_seq_len"]),
        ("--qqq 5", ["unknown setting", "--help"]),
        ("-- 5", ["unknown setting"]),
        ("-bf16", ['"-bf16"', "belongs to no flag"]),
        ("--evaluation_strategy step", ['one of "no", "steps", "epoch"', 'did you mean "steps"?']),
        ("--granularity core", ['one of "full", "core_attn"', "did you mean"]),
        ("--level 3", ['one of 1, 2, "auto"']),
        ("--level True", ['one of 1, 2, "auto"']),
        ("--logging_dir None", ["write null"]),
        ("--skip_intervals 1 100", ["element 1", "expected list of integer"]),
        ("--sizes 1 b", ["element 2", '"b"', "expected integer"]),
        ("--sizes null", ["expected", "integer"]),
        ("--extra a=1", ["expected object, got text"]),
        ('--extra {"a":1,"a":2}', ["expected object"]),
    ],
)
def test_words_that_are_refused(words, parts):
    """Nothing on a command line is guessed at or passed over; the line has key, value, reason and remedy."""
    line = one_problem(read, *words.split(" "))
    assert line.startswith("command line: ")
    assert [part for part in parts if part not in line] == []


def test_a_second_file_is_refused(config):
    assert '"other.json": belongs to no flag' in one_problem(config, {}, "other.json")


# ---- the file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("max_steps", "5.0", 5),
        ("max_steps", "-1", -1),
        ("learning_rate", "1", 1.0),
        ("learning_rate", "1e-06", 1e-6),
        ("eval_steps", "null", None),  # not Optional, but null by default
        ("label_names", '"one"', ["one"]),
        ("label_names", "null", None),
        ("paths", '"one"', "one"),
        ("paths", '["a", "b"]', ["a", "b"]),
        ("skip_intervals", "[[1, 100]]", [[1, 100]]),
        ("extra", '{"a": [1, null, {"b": "]}"}]}', {"a": [1, None, {"b": "]}"}]}),
        ("output_dir", '"null"', "null"),
        ("output_dir", '"ки \\"\\\\ \\u00e9"', 'ки "\\ é'),
        ("level", "1", 1),
        ("level", "1.0", 1),
    ],
)
def test_values_of_the_file_mean(config, name, text, value):
    got = config(f'{{"{name}": {text}}}')
    assert (type(got[name]), got[name], got.origin[name]) == (type(value), value, "file")


@pytest.mark.parametrize(
    "name, text, parts",
    [
        ("max_steps", '"5"', ["expected integer, got text", "write 5"]),
        ("max_steps", "5.5", ["expected integer, got number with a fraction"]),
        ("max_steps", "1e30", ["too large to be exact"]),
        ("max_steps", "true", ["expected integer, got true/false"]),
        ("max_steps", "[]", ["expected integer, got list"]),
        ("max_steps", "[5]", ["expected integer, got list"]),
        ("max_steps", "null", ["expected integer, got null", "default is 100"]),
        ("max_steps", '{"a": 1}', ["expected integer, got object"]),
        ("max_steps", "9" * 5000, ["finite"]),
        ("learning_rate", '"1e-6"', ["expected number, got text", "write 1e-06"]),
        ("learning_rate", "false", ["expected number, got true/false"]),
        ("learning_rate", "NaN", ["finite"]),
        ("learning_rate", "-Infinity", ["finite"]),
        ("learning_rate", "1e999", ["finite"]),
        ("extra", '{"a": [NaN]}', ["finite"]),
        ("extra", '{"b": {"a": 1, "a": 2}}', ['"a" is given twice']),
        ("bf16", '"true"', ["expected true/false, got text", "write true"]),
        ("bf16", "0", ["expected true/false, got integer", "write false"]),
        ("bf16", "null", ["got null"]),
        ("output_dir", "5", ["expected text, got integer", 'write "5"']),
        ("output_dir", '"\\ud800"', ["not valid Unicode"]),
        ("logging_dir", '"None"', ["write null"]),
        ("label_names", '["a", 5]', ["element 2, 5", "expected text"]),
        ("paths", '["a", null]', ["element 2, null", "expected text"]),
        ("paths", "5", ["expected text or list of text, got integer"]),
        ("skip_intervals", "[1, 100]", ["element 1, 1", "expected list of integer"]),
        ("evaluation_strategy", '"step"', ['"steps"']),
        ("evaluation_strategy", "false", ['one of "no", "steps", "epoch"']),
        ("granularity", '"Full"', ['did you mean "full"']),
        ("level", "true", ['one of 1, 2, "auto"']),
        ("max_seq_le", "5", ["write max_seq_len"]),
        ("max_seq", "5", ["not abbreviated; write max_seq_len"]),
        ("no_bf16", "true", ["unknown setting", "bf16"]),
        ("_comment", '"x"', ["no comments"]),
        ("//", '"x"', ["no comments"]),
        ("", "1", ["unknown setting"]),
    ],
)
def test_values_of_the_file_that_are_refused(config, name, text, parts):
    """Each refusal says file and line, key, value as written, why, and what to write."""
    line = one_problem(config, f'{{"max_prompt_len": 7,\n\n "{name}":\n {text}}}')
    assert line.startswith("prm.json:3: ")
    assert [part for part in [name, *parts] if part not in line] == []


def test_a_key_twice_in_the_file_is_refused_with_both_lines(config):
    """json.load would keep the last of them in silence."""
    line = one_problem(config, '{"max_steps": 5,\n "bf16": true,\n "max_steps": 5}')
    assert line == "prm.json:3: max_steps = 5: given twice (before: prm.json:1); keep one of them"


@pytest.mark.parametrize(
    "content, parts",
    [
        ('{"max_steps": 5,\n}', ["prm.json:2:1", "not JSON", "comma"]),
        ('{\n // no\n"max_steps": 5}', ["prm.json:2:2", "comments"]),
        ("", ["prm.json:1:1"]),
        ('[{"max_steps": 5}]', ["one JSON object", "got list"]),
        ('{"max_steps": 5}\n{"max_steps": 5}', ["prm.json:2:1", "Extra data"]),
        (b'{"output_dir":\n "caf\xe9"}', ["prm.json:2:6", "0xe9", "UTF-8"]),
        ('{"max_steps": 5}'.encode("utf-16"), ["prm.json:1:1", "UTF-8"]),
        ('{"extra": ' + "[" * 200_000, ["prm.json", "nested too deeply"]),
    ],
)
def test_a_file_that_holds_no_settings(config, content, parts):
    line = one_problem(config, content)
    assert [part for part in parts if part not in line] == []


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    assert "No such file" in one_problem(read, str(tmp_path / "absent.json"))
    assert "Is a directory" in one_problem(read, str(tmp_path))
    assert one_problem(read, "").startswith('"": cannot be read')
    for name in ("\ud800", "\0"):
        one_problem(read, name).encode()


def test_bytes_that_are_no_text_do_not_break_the_message():
    """A shell passes undecodable bytes on as lone surrogates, which cannot be printed."""
    assert (
        one_problem(read, "--output_dir", "caf\udce9")
        .encode()
        .endswith(b'the text is not valid Unicode; the default is "./checkpoints"')
    )
    assert "caf\\udce9.json" in one_problem(read, "caf\udce9.json")
    assert '"caf\\udce9"' in one_problem(read, "--caf\udce9", "1")


def test_a_byte_order_mark_is_no_error(config):
    assert config(b"\xef\xbb\xbf" + b'{"max_steps": 5}')["max_steps"] == 5


def test_all_problems_at_once(config):
    """One run tells everything that is wrong: in the file, on the command line, and between them."""
    lines = problems(config, '{"max_steps": "x",\n "max_seq_le": 1,\n "bf16": 1}', "stray", "--lr", "1", "--sizes", "x")
    assert [line.split(" = ")[0] for line in lines] == [
        'command line: "stray": belongs to no flag; write CONFIG.json first and the rest as --key value',
        "prm.json:1: max_steps",
        "prm.json:2: max_seq_le",
        "prm.json:3: bf16",
        "command line: lr",
        "command line: sizes",
    ]
    lines = problems(config, "{", "--max_steps", "x")
    assert len(lines) == 2


def test_long_values_do_not_bury_the_message(config):
    assert len(one_problem(config, {"max_steps": ["x" * 50] * 1000})) < 250


# ---- between parse and build ----------------------------------------------------------------------------


def test_a_default_gives_way_and_says_so():
    got = read("--max_steps", "7")
    got.change_default("bf16", False, "no kernel on this machine")
    got.change_default("max_prompt_len", 2048, "it is already so")
    assert got.changes == ["bf16: true -> false: no kernel on this machine"]
    assert (got["bf16"], got.origin["bf16"], got.values) == (False, "default", {"max_steps": 7})
    assert got.build()[0].bf16 is False


def test_what_the_user_wrote_never_gives_way(config):
    """The user's value stays; the run is refused, with every such problem at once."""
    got = config('{"bf16": true,\n "max_seq_len": 9}', "--max_steps", "7")
    got.change_default("bf16", False, "no kernel on this machine")
    got.change_default("max_steps", 7, "the value wanted anyway")
    got.refuse("max_seq_len", "less than 10; write at least 10")
    assert got["bf16"] is True and got.changes == []
    for raising in (got.check, got.build):
        assert problems(raising) == [
            "prm.json:1: bf16 = true: no kernel on this machine; write false or leave it out",
            "prm.json:2: max_seq_len = 9: less than 10; write at least 10",
        ]


def test_a_misspelt_name_in_the_program_is_an_error():
    with pytest.raises(KeyError):
        read().change_default("bf61", False, "")
    with pytest.raises(ValueError, match="expected true/false"):
        read().change_default("bf16", "no", "")


@pytest.mark.parametrize(
    "kind, default, message",
    [
        (tuple, (), "not a type for a setting"),
        (dict[str, int], None, "not a type for a setting"),
        (int, "5", "its default '5' does not fit"),
        (float, float("inf"), "does not fit"),
    ],
)
def test_a_class_that_cannot_be_filled_from_json_is_the_programs_error(kind, default, message):
    @dataclass
    class Odd:
        value: kind = default

    with pytest.raises(TypeError, match=message):
        parse((Odd,), [], "")


def test_two_classes_may_not_differ_over_a_name():
    @dataclass
    class Other:
        max_seq_len: int = 5

    with pytest.raises(TypeError, match=r"Other\.max_seq_len differs"):
        parse((Data, Other), [], "")


# ---- screens and files ----------------------------------------------------------------------------------


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


# ---- any values -----------------------------------------------------------------------------------------

TEXT = strategies.text(max_size=8).filter(lambda text: text != "None")
VALUES: dict[str, Any] = {
    "output_dir": TEXT,
    "max_steps": strategies.integers(),
    "learning_rate": strategies.floats(allow_nan=False, allow_infinity=False),
    "bf16": strategies.booleans(),
    "granularity": strategies.sampled_from(["full", "core_attn"]),
    "evaluation_strategy": strategies.sampled_from(["no", "steps", "epoch"]),
    "eval_steps": strategies.none() | strategies.integers(),
    "label_names": strategies.none() | strategies.lists(TEXT, max_size=3),
    "skip_intervals": strategies.none() | strategies.lists(strategies.lists(strategies.integers())),
    "logging_dir": strategies.none() | TEXT,
    "paths": TEXT | strategies.lists(TEXT, max_size=3),
    "sizes": strategies.lists(strategies.integers(), max_size=3),
    "level": strategies.sampled_from([1, 2, "auto"]),
    "extra": strategies.dictionaries(TEXT, TEXT | strategies.booleans() | strategies.none(), max_size=2),
}
ANY_SETTINGS = strategies.fixed_dictionaries({}, optional=VALUES)
MANY = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(ANY_SETTINGS, strategies.sampled_from([None, 1, "\t"]), strategies.booleans())
def test_any_settings_pass_through_the_file_and_through_saving(tmp_path_factory, values, indent, escaped):
    """Whatever a valid file holds is what the classes get, and what the saved settings give again."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "prm.json").write_text(json.dumps(values, indent=indent, ensure_ascii=escaped), "utf-8")
    got = read(str(folder / "prm.json"))
    assert got.values == values
    assert [type(got.values[name]) for name in values] == [type(value) for value in values.values()]
    save(got, (), folder / "out.json")
    again = read(str(folder / "out.json"))
    assert {name: again[name] for name in got.parameters} == {name: got[name] for name in got.parameters}


@MANY
@given(ANY_SETTINGS)
def test_any_settings_pass_through_the_command_line(values):
    """What JSON can say, a command line can say: texts as they are, the rest as JSON."""
    words = [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()]
    ambiguous = {
        name
        for name, value in values.items()
        if isinstance(value, str)
        and (name == "logging_dir" and value == "null" or name == "paths" and value.lstrip()[:1] == "[")
    }
    got = read(*words)
    assert {name: got[name] for name in values.keys() - ambiguous} == {
        name: value for name, value in values.items() if name not in ambiguous
    }


@MANY
@given(strategies.text(alphabet=string.printable + "ки\ud800", max_size=40), strategies.booleans())
def test_any_rubbish_is_settings_or_a_settings_error(tmp_path_factory, text, as_file):
    """No input of a user ends in another exception."""
    path = tmp_path_factory.mktemp("rubbish") / "prm.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    argv = [str(path)] if as_file else text.split()
    try:
        read(*argv)
    except SettingsError as error:
        str(error).encode()
    except SystemExit:
        assert not as_file
