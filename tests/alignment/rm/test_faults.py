"""Runs of several processes that are killed, told to stop or out of disk: what they say, what they leave, and that the
same command goes on to what the run would have been."""

import json
import shutil
import signal

import pytest

from llm.alignment.rm.flashmask.run_reward import main
from llm.core.checkpoint import checkpoints
from tests.factories import twelve_updates
from tests.runs import (
    SECONDS,
    STACK,
    assert_same_runs,
    ends_of_ranks,
    forked,
    refusal,
    running,
    train_ranks,
    wait_for_file,
)

pytestmark = [pytest.mark.runs, pytest.mark.distributed]


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    train_ranks(twelve_updates(tiny, folder), folder)
    return folder / "out"


def whole(out) -> list[int]:
    """The updates after which a whole checkpoint is left."""
    return [
        checkpoints.step_of(folder) for folder in checkpoints.all_checkpoints(out) if checkpoints.is_complete(folder)
    ]


def assert_equal_runs(one, other) -> None:
    assert_same_runs(one, other)
    totals = [json.loads((out / "train_results.json").read_text()) for out in (one, other)]
    for name in ("train_loss", "train_accuracy", "train_steps", "train_tokens", "train_solutions"):
        assert totals[0][name] == pytest.approx(totals[1][name], rel=1e-6)


def test_kills_end_the_whole_run_and_cost_no_more_than_what_was_not_saved(undisturbed, tiny, tmp_path):
    out, flags = tmp_path / "out", twelve_updates(tiny, tmp_path)
    with running(flags, tmp_path, sigkill={"step": 4, "rank": 1}) as run:
        assert run.end() != 0
        assert run.shown(0).count("error: rank 0 cannot continue: another rank has ended") == 1
        assert STACK not in run.everything()
        assert "Container failed" in run.shown()
    with running(flags, tmp_path, slow={"seconds": 0.5}) as run:  # without its launcher, a rank saves and ends
        run.wait_for_line("update 6/12")
        assert "checkpoint-3" in run.shown()
        run.process.kill()
        run.end()
        assert "stopped by SIGTERM after update" in run.shown(0)
    next_save = whole(out)[-1] // 3 * 3 + 3
    in_save = {"rank": 0, "inside": f"{checkpoints.__name__}:mark_complete", "step": next_save}
    killed, _ = ends_of_ranks(flags, tmp_path, sigkill=in_save)
    assert killed.code == -signal.SIGKILL and not (out / f"checkpoint-{next_save}" / checkpoints.FILE_LIST).exists()
    assert f"ignored checkpoint-{next_save}: it is half-written" in train_ranks(flags, tmp_path)
    assert_equal_runs(undisturbed, out)


def test_a_sigterm_to_a_rank_or_the_launcher_saves_and_ends_the_run(undisturbed, tiny, tmp_path):
    out, flags = tmp_path / "out", twelve_updates(tiny, tmp_path)
    stopped = train_ranks(flags, tmp_path, sigterm={"step": 4, "rank": 1})
    assert "stopped by SIGTERM after update 5 of 12: checkpoint-5 is saved" in stopped
    assert whole(out) == [3, 5]
    with running(flags, tmp_path, slow={"seconds": 0.5}) as run:
        run.wait_for_line("update 6/12")
        run.process.terminate()
        assert run.end() == signal.SIGTERM  # the launcher's own exit code
        last = whole(out)[-1]
        assert 6 <= last < 12 and f"checkpoint-{last} is saved" in run.shown(0)
        assert STACK not in run.everything()
    train_ranks(flags, tmp_path)
    assert_equal_runs(undisturbed, out)


def test_a_full_disk_of_one_rank_ends_the_run_and_leaves_the_earlier_checkpoint(undisturbed, tiny, tmp_path):
    out, flags = tmp_path / "out", twelve_updates(tiny, tmp_path)
    for rank in (1, 0):
        ends = ends_of_ranks(flags, tmp_path, disk_full={"step": 6, "rank": rank})
        assert all(end.code and STACK not in end.shown for end in ends)
        assert "checkpoint-6 could not be written" in ends[rank].shown and "File too large" in ends[rank].shown
        assert "The half-written folder is ignored" in ends[rank].shown  # the other rank may be writing into it
        assert whole(out) == [3]
    train_ranks(flags, tmp_path)
    assert_equal_runs(undisturbed, out)


def test_a_run_of_other_data_or_another_seed_is_refused(undisturbed, tiny, tmp_path):
    flags = twelve_updates(
        tiny, tmp_path, output_dir=str(undisturbed), seed=7, train_dataset_path=str(tiny / "dev.jsonl")
    )
    for end in ends_of_ranks(flags, tmp_path):
        assert end.code == 2 and STACK not in end.shown
        assert "seed: 42 in the checkpoint, 7 now" in end.shown and "data: " in end.shown


def test_a_checkpoint_with_a_file_cut_short_is_refused_by_its_name_or_passed_over(undisturbed, tiny, tmp_path, capsys):
    """By one process, which has the rows of both ranks in an update."""
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    cut = out / "checkpoint-12" / "optimizer-00002-of-00002.safetensors"  # the second rank's
    cut.write_bytes(cut.read_bytes()[:-1])
    changes = {"per_device_train_batch_size": 4}
    message = refusal(capsys, twelve_updates(tiny, tmp_path, resume_from_checkpoint=cut.parent, **changes))
    assert f'resume_from_checkpoint = "{cut.parent}": is not a whole checkpoint' in message
    main(twelve_updates(tiny, tmp_path, **changes))
    shown = capsys.readouterr().out
    assert "ignored checkpoint-12" in shown and f"starts from: {out / 'checkpoint-9'}" in shown
    assert_same_runs(undisturbed, out, 1e-4)


def test_a_sigterm_to_a_single_process_saves_and_ends_it_with_exit_code_0(tiny, tmp_path):
    """In an update before an evaluation, which is not lost; in a save; in an evaluation without one; in the last
    update; and before the first one, when nothing is kept."""
    out, changes = tmp_path / "out", {"eval_steps": 4, "max_steps": 11}  # after which no checkpoint is due
    flags = twelve_updates(tiny, tmp_path, **changes)
    with forked(flags, tmp_path, ranks=1) as [(process, _)]:
        wait_for_file(out, process)
        process.terminate()
        process.join(SECONDS)
        assert process.exitcode == -signal.SIGTERM and whole(out) == []
    moments = [(3, "_settle", 4), (6, "_save_checkpoint", 6), (8, "evaluate", 8), (10, "_settle", 11)]
    for step, inside, last in moments:
        shown = train_ranks(flags, tmp_path, 1, sigterm={"step": step, "inside": inside})
        assert f"stopped by SIGTERM after update {last} of 11: checkpoint-{last} is saved" in shown
        assert whole(out)[-1] == last and not (out / "train_results.json").exists()
    main(flags)
    straight = tmp_path / "straight"
    main(twelve_updates(tiny, straight, **changes))
    assert_equal_runs(straight / "out", out)
