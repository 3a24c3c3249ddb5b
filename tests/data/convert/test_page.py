"""The page about converting shows every format with its fields, and what the commands print."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from llm.data.convert.convert import main
from llm.data.convert.registry import FORMATS
from tests.data.convert.rows import TOKEN

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs/convert.md").read_text(encoding="utf-8")
SAMPLES = REPOSITORY.parent / "shared" / "samples"
EXAMPLES = re.findall(r"```bash\n\.venv/bin/python -m llm convert (.*?)\n```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
SAMPLE_OF = {
    "phase1_test.parquet": "prm800k/phase1_test.stepwise-critic.parquet",
    "phase1.jsonl": "prm800k/raw_phase1_phase2.jsonl",
    "math_aps_trees.jsonl": "math_aps/trees.jsonl",
}


def message(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def binarized(question: str, chosen: str, scores: tuple[float, float]) -> dict:
    user = message("user", question)
    return {
        "prompt": question,
        "chosen": [user, message("assistant", chosen)],
        "rejected": [user, message("assistant", "3")],
        "score_chosen": scores[0],
        "score_rejected": scores[1],
    }


MADE = {
    "reserved.jsonl": [
        {"prompt": f"Question: 1 + 1 + 1?\nAnswer: 1 + 1 = 2{TOKEN}2 + 1 = 4{TOKEN}", "label": [1, 0]},
        {"prompt": "Question: 1 + 1? It is 2. ки\nAnswer: ", "label": []},
    ],
    "binarized.jsonl": [binarized("1 + 1?", "2", (8.5, 6.0)), binarized("1 + 2?", "3", (7.0, 7.0))],
}


def test_every_format_is_documented_with_its_fields():
    for name, form in FORMATS.items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        assert all(f"`{field}`" in row for field in form.fields), name


def prepare(name: str) -> None:
    if name in SAMPLE_OF:
        if not SAMPLES.is_dir():
            pytest.skip("no shared samples beside the repository")
        Path(name).symlink_to(SAMPLES / SAMPLE_OF[name])
    elif name == "prm800k.jsonl":
        prepare("phase1_test.parquet")
        main(["phase1_test.parquet", "--output", name])
    elif name == "answers.csv":
        Path(name).write_text(re.search(r"The file `answers.csv`:\n\n```text\n(.*?)```", PAGE, re.DOTALL)[1])
    else:
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in MADE[name]))


@pytest.mark.parametrize("command, shown", EXAMPLES, ids=[command.split()[0] for command, _ in EXAMPLES])
def test_the_commands_print_what_is_shown(tmp_path, capsys, monkeypatch, command, shown):
    monkeypatch.chdir(tmp_path)
    prepare(command.split()[0])
    capsys.readouterr()
    main(shlex.split(command))
    assert capsys.readouterr().out == shown


def test_the_report_of_bad_rows_is_the_one_that_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example, report = re.findall(r"```text\n(.*?)```", PAGE.split("## Bad rows")[1], re.DOTALL)
    Path("bad.jsonl").write_text(example, encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["processbench", "bad.jsonl", "--output", "new.jsonl"])
    assert capsys.readouterr().err == "\n" + report
