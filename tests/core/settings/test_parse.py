"""Contracts of llm.core.settings.parse: a setting is obeyed or refused, and one can see where it came from."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from llm.core.settings.parse import parse
from tests.core.settings.toy_settings import Data, Strategy, TrainerBase, Training, checked, one_problem, problems, read


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
    """Nothing on a command line is guessed or ignored; the line has key, value, reason and remedy."""
    line = one_problem(read, *words.split(" "))
    assert line.startswith("command line: ")
    assert [part for part in parts if part not in line] == []


def test_a_second_file_is_refused(config):
    assert '"other.json": belongs to no flag' in one_problem(config, {}, "other.json")


def test_bytes_that_are_no_text_do_not_break_the_message():
    """A shell passes undecodable bytes on as lone surrogates, which cannot be printed."""
    assert (
        one_problem(read, "--output_dir", "caf\udce9")
        .encode()
        .endswith(b'the text is not valid Unicode; the default is "./checkpoints"')
    )
    assert "caf\\udce9.json" in one_problem(read, "caf\udce9.json")
    assert '"caf\\udce9"' in one_problem(read, "--caf\udce9", "1")


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
