"""What a settings file may hold: values of each type, problems with their lines, all at once."""

import pytest

from tests.core.settings.toy_settings import one_problem, problems, read


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
