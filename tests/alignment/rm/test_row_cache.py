"""Rows of a cache are those that the data gives; they are built once for what they depend on, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from llm.alignment.rm.flashmask import data
from llm.alignment.rm.flashmask.reward_run import resolve_run
from llm.alignment.rm.flashmask.reward_task import read_format
from llm.alignment.rm.flashmask.run_reward import main
from llm.core.rows.row_store import StoredRows
from llm.core.run import row_cache
from llm.tasks import build_cache
from tests.factories import data_of, pairs_of, read_lines, write_config
from tests.runs import assert_same_runs


@pytest.fixture
def read(tiny, tmp_path, monkeypatch):
    """read(settings): the rows of the tiny training data, and how often data was read for it so far."""
    built = []
    load_rows = data.load_rows
    monkeypatch.setattr(data, "load_rows", lambda *a: built.append(a) or load_rows(*a))

    def rows(**settings):
        values = {**data_of(tiny), "cache_dir": str(tmp_path / "cache"), "max_seq_len": 256, **settings}
        run = resolve_run(write_config(tmp_path / "run", **values), "")
        arguments = run.data.train_dataset_path, run.data, read_format(run), run.form, run.training.reward_margin
        return data.rows_of(*arguments), len(built)

    return rows


def caches(folder: Path) -> list[Path]:
    return [path for path in (folder / "cache").iterdir() if path.is_dir()]


def test_built_once_and_the_same_as_without(read, tmp_path):
    first, _ = read()
    second, times = read()
    plain, _ = read(cache_dir=None)
    assert times == 1 and isinstance(second.rows, StoredRows)
    assert first.fingerprint == second.fingerprint == plain.fingerprint
    for cached in (first, second):
        assert cached.describe("data", 256) == plain.describe("data", 256)
        assert cached.encoded.positive_share == plain.encoded.positive_share
    assert len(caches(tmp_path)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"max_seq_len": 128},
        {"prefix_sharing": False},
        {"greedy_zero_padding": True},
        {"process_reward": False},
        {"reward_tokens": "-,+"},
        {"score_last_step_only": True},
    ],
)
def test_other_settings_have_rows_of_their_own(read, changed):
    before, _ = read()
    after, times = read(**changed)
    assert times == 2 and after.fingerprint != before.fingerprint or changed == {"reward_tokens": "-,+"}
    assert after.fingerprint == read(**changed, cache_dir=None)[0].fingerprint


def test_changed_data_and_another_tokenizer_are_noticed(read, tiny, tmp_path):
    read()
    data = tmp_path / "train.jsonl"
    lines = (tiny / "train.jsonl").read_text().splitlines(keepends=True)
    data.write_text("".join(lines))
    for times, content in ((2, lines), (3, lines[:-1]), (3, lines[:-1])):
        data.write_text("".join(content))
        assert read(train_dataset_path=str(data))[1] == times
    model = tmp_path / "model"
    shutil.copytree(tiny / "model", model)
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**config, "more": 1}))
    assert read(model_name_or_path=str(model))[1] == 4


def test_damage_is_noticed_and_built_again(read, tmp_path, capsys):
    before, _ = read()
    (folder,) = caches(tmp_path)
    for name in (row_cache.ROWS, row_cache.ABOUT):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
        after, _ = read()
        assert list(after.rows)[0].records
        assert after.fingerprint == before.fingerprint and "is damaged" in " ".join(capsys.readouterr().out.split())


def test_a_killed_builder_leaves_nothing_that_is_read(read, tmp_path, monkeypatch):
    if pid := os.fork():
        os.waitpid(pid, 0)
    else:
        monkeypatch.setattr(row_cache, "write_json", lambda *a: os._exit(9))
        read()
    assert [path.suffix for path in (tmp_path / "cache").iterdir() if path.is_dir()] == [".part"]
    _, times = read()
    assert times == 1 and [path.suffix for path in caches(tmp_path)] == [""]


def test_two_builders_at_once_build_one_cache(read, tmp_path):
    children = []
    for _ in range(3):
        if not (pid := os.fork()):
            rows, times = read()
            os._exit(10 + times if rows.rows[0].weight else 1)
        children.append(pid)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
    assert codes == [10, 10, 11] and len(caches(tmp_path)) == 1


@pytest.mark.runs
@pytest.mark.parametrize("of", [data_of, pairs_of], ids=["labels", "pairs"])
def test_a_run_with_a_cache_is_the_run_without(tiny, tmp_path, of, capsys):
    common = {**of(tiny), "max_steps": 4, "save_strategy": "no", "logging_steps": 1, "max_seq_len": 512}
    if of is data_of:
        common["balance_labels"] = True
    main(write_config(tmp_path / "without", **common))
    for name in ("first", "second"):
        capsys.readouterr()
        main(write_config(tmp_path / name, **common, cache_dir=str(tmp_path / "cache")))
        assert ("rows of an earlier run" in capsys.readouterr().out) == (name == "second")
        assert_same_runs(tmp_path / name / "out", tmp_path / "without/out")


def test_the_verb_builds_both_data_sets(tiny, tmp_path, capsys):
    words = write_config(tmp_path / "run", **data_of(tiny), cache_dir=str(tmp_path / "cache"))
    build_cache.main(words)
    assert len(caches(tmp_path)) == 2
    rows = read_lines(tiny / "train.jsonl")
    assert f"{len(rows):,} records read" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        build_cache.main(write_config(tmp_path / "other", **data_of(tiny)))
    assert "cache_dir" in capsys.readouterr().err
