"""Packed rows through whole models of each family equal PaddleNLP's forward pass."""

from __future__ import annotations

import shutil

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file, save_file

from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.core import patches
from llm.core.cpu.kernels.build import kernels
from llm.core.model import config as config_module
from llm.core.model import forward
from llm.core.model.attention import block_attention, dense_mask, kernel_attention
from llm.core.model.head import heads
from llm.core.model.head.losses import reward_cross_entropy, reward_scores
from llm.core.rows.batch import collate
from llm.core.rows.prefix_tree import grow_trees, lone_tree
from llm.core.rows.row import Row, make_row
from llm.core.text.encoding import Sequence
from tests.core.cpu.library_models import CONFIGS, TOKENS, VOCABULARY, attentions, families, library_class


def load(folder, attend=block_attention):
    return patches.load_model(str(folder), config_module.load_config(str(folder)), attend, "float32").eval()


def make_solutions(lengths, seed=0) -> list[Sequence]:
    random, solutions = np.random.default_rng(seed), []
    for length in lengths:
        scored = np.flatnonzero(random.random(length) < 0.3)
        ids = random.integers(20, VOCABULARY, length)
        ids[scored] = TOKENS.placeholder
        solutions.append(Sequence(ids, scored, (random.random(len(scored)) < 0.6).astype("float32")))
    return solutions


def row_of(solutions: list[Sequence]) -> Row:
    return make_row([lone_tree(solution) for solution in solutions])


def family_of_solutions(seed: int) -> list[Sequence]:
    """A prompt of 8 tokens that four solutions share; two of them share 6 tokens more."""
    prompt, step, *ends = make_solutions([8, 6, 30, 13, 20, 40], seed)
    parts = [[prompt, ends[0]], [prompt, step, ends[1]], [prompt, ends[2]], [prompt, step, ends[3]]]
    random, solutions = np.random.default_rng(seed), []
    for some in parts:
        ids = np.concatenate([part.ids for part in some])
        scored = np.flatnonzero(ids == TOKENS.placeholder)
        labels = (random.random(len(scored)) < 0.6).astype("float32")
        solutions.append(Sequence(ids, scored, labels, prompt_len=len(prompt)))
    return solutions


def paths_in(row: Row, tree) -> list[np.ndarray]:
    """Per solution of a row's only tree the tokens that its last one sees."""
    ends = np.cumsum([len(solution) for solution in tree.solutions]) - np.cumsum(tree.shared) - 1
    return [np.flatnonzero((np.arange(len(row)) <= end) & (row.end_row > end)) for end in ends]


def own_hidden(model, rows: list[Row]) -> paddle.Tensor:
    batch = {name: paddle.to_tensor(array) for name, array in collate(rows, pad_id=0).items()}
    return forward.hidden_states(model, batch["input_ids"], batch["position_ids"], batch["end_row"])


def library_hidden(model, ids: np.ndarray) -> paddle.Tensor:
    """[T, hidden] of one solution alone, plainly causal."""
    base = getattr(model, model.base_model_prefix)
    return base(input_ids=paddle.to_tensor(ids[None]), use_cache=False, return_dict=True).last_hidden_state[0]


def assert_close(mine, theirs, what="", tolerance=1e-5):
    """Relative to the largest element."""
    mine, theirs = (x.numpy() if isinstance(x, paddle.Tensor) else x for x in (mine, theirs))
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance * np.abs(theirs).max(), err_msg=what)


# ---- hidden states


@families
@attentions
def test_packed_solutions_have_the_hidden_states_that_each_has_alone(library_models, family, attend):
    """Solutions packed into rows of unlike filling, against each one alone in PaddleNLP's own model. A mask, a
    position, a head's group or a rewritten layer that is wrong in any of the families shows here."""
    reference, folder = library_models(family)
    model = load(folder, attend)
    solutions = make_solutions([17, 70, 5, 33, 1])
    rows = [row_of(solutions[:2]), row_of(solutions[2:])]
    with paddle.no_grad():
        hidden = own_hidden(model, rows)
        placed = [(0, 0), (0, 17), (1, 0), (1, 5), (1, 38)]
        for solution, (row, start) in zip(solutions, placed, strict=True):
            mine = hidden[row, start : start + len(solution)]
            assert_close(mine, library_hidden(reference, solution.ids), f"solution of {len(solution)} tokens")


@families
@attentions
def test_answers_behind_a_shared_prompt_have_the_hidden_states_that_each_has_alone(library_models, family, attend):
    reference, folder = library_models(family)
    model = load(folder, attend)
    (tree,) = grow_trees(family_of_solutions(seed=1), 999, prefix_sharing=True)
    row = make_row([tree])
    assert len(row) == sum(map(len, tree.solutions)) - 3 * 8 - 6
    with paddle.no_grad():
        hidden = own_hidden(model, [row])[0]
        for solution, path in zip(tree.solutions, paths_in(row, tree), strict=True):
            assert_close(hidden.gather(paddle.to_tensor(path)), library_hidden(reference, solution.ids))


@families
def test_a_packed_row_equals_paddlenlps_forward_with_a_dense_mask(library_models, family):
    """The same row, ids and positions, in PaddleNLP's model with the [S, S] booleans that end_row stands for."""
    reference, folder = library_models(family)
    model = load(folder)
    solutions = family_of_solutions(seed=2)
    batch = collate([row_of(solutions[:1]), make_row(list(grow_trees(solutions, 999, True)))], pad_id=0)
    batch = {name: paddle.to_tensor(array) for name, array in batch.items()}
    base = getattr(reference, reference.base_model_prefix)
    with paddle.no_grad():
        theirs = base(
            input_ids=batch["input_ids"],
            position_ids=batch["position_ids"],
            attention_mask=dense_mask(batch["end_row"]),
            use_cache=False,
            return_dict=True,
        ).last_hidden_state
        mine = forward.hidden_states(model, batch["input_ids"], batch["position_ids"], batch["end_row"])
    assert_close(mine, theirs)


@families
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
def test_packed_rows_have_the_loss_and_gradients_of_the_solutions_one_by_one(library_models, family, compiled):
    """Every weight's gradient, through the model as it is trained, against full logits of each solution alone: rows of
    trees, several labels on one position, and rows without trees."""
    if compiled and kernels()[0] is None:
        pytest.skip(f"no compiled kernels: {kernels()[1]}")
    reference, folder = library_models(family)
    model = as_reward_model(load(folder, kernel_attention if compiled else block_attention), TOKENS)
    patches.apply(patches._cpu_layers(compiled))
    shared, others = family_of_solutions(seed=3), make_solutions([15, 66, 9], seed=4)
    solutions = shared + others
    batch = collate([make_row(list(grow_trees(shared, 999, True))), row_of(others)], pad_id=0)
    assert len(batch["label_at"]) > len(batch["scored"])
    batch = {name: paddle.to_tensor(array) for name, array in batch.items()}
    logits = model(*(batch[name] for name in ("input_ids", "position_ids", "end_row", "scored")))
    loss = (batch["weights"] * reward_cross_entropy(logits.gather(batch["label_at"]), batch["targets"])).sum()
    loss.backward()
    for parameter in reference.parameters():
        parameter.clear_gradient()
    total = 0.0
    for solution in solutions:
        all_logits = reference.lm_head(library_hidden(reference, solution.ids).unsqueeze(0))[0]
        two = all_logits.gather(paddle.to_tensor(solution.scored))[:, [TOKENS.positive, TOKENS.negative]]
        loss_alone = reward_cross_entropy(two, paddle.to_tensor(solution.labels)).sum()
        loss_alone.backward()
        total += float(loss_alone)
    assert float(loss) == pytest.approx(total, rel=1e-5)
    theirs = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        assert_close(parameter.grad, theirs[name].grad, name)


def test_a_model_called_without_end_row_refuses(library_models):
    """Plain causal attention over packed solutions would be wrong in silence."""
    for family in CONFIGS:
        model = load(library_models(family)[1])
        with pytest.raises(ValueError, match=r"without end_row.*hidden_states"):
            model(input_ids=paddle.to_tensor([[1, 2, 3]]))


# ---- the convention


@pytest.mark.parametrize(
    ("family", "tied"), [("llama", False), ("llama", True), ("mistral", False), ("qwen2", False), ("qwen2", True)]
)
def test_scores_are_those_of_the_convention_over_the_full_model(library_models, family, tied, tmp_path):
    """softmax(logits[position of the placeholder][[id of +, id of -]])[0], from a checkpoint that this project saved
    and PaddleNLP's own causal LM reads back."""
    _, folder = library_models(family, tied)
    model = as_reward_model(load(folder), TOKENS)
    solutions = make_solutions([30, 12, 40], seed=6)
    batch = {name: paddle.to_tensor(array) for name, array in collate([row_of(solutions)], pad_id=0).items()}
    model.save_pretrained(str(tmp_path), safe_serialization=True)
    full_model = library_class(family).from_pretrained(str(tmp_path)).eval()
    wanted = []
    with paddle.no_grad():
        logits = model(*(batch[name] for name in ("input_ids", "position_ids", "end_row", "scored")))
        scores = reward_scores(logits).numpy()
        for solution in solutions:
            logits_TV = full_model(input_ids=paddle.to_tensor(solution.ids[None]), return_dict=True).logits[0].numpy()
            for position in np.flatnonzero(solution.ids == TOKENS.placeholder):
                two = logits_TV[position][[TOKENS.positive, TOKENS.negative]].astype("float64")
                exponents = np.exp(two - two.max())
                wanted.append((exponents / exponents.sum())[0])
    assert len(scores) == len(wanted) > 10
    assert np.ptp(wanted) > 0.1  # scores that are all alike would show nothing
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-5)


def test_the_targets_that_pull_a_score_up_and_down():
    """Column 0 is the positive token: a target of 1 asks for it, a soft one for its share of both."""
    logits = paddle.to_tensor([[2.0, -1.0], [0.5, 0.5]])
    p = reward_scores(logits)
    for target in (1.0, 0.0, 0.3):
        losses = reward_cross_entropy(logits, paddle.full([2], target))
        assert_close(losses, -(target * p.log() + (1 - target) * (1 - p).log()), str(target))


def test_a_tied_model_needs_no_head_of_its_own(library_models, tmp_path):
    """Where a config ties the head to the embedding, files need not hold it, and scores are read off the embedding."""
    for family in ("llama", "qwen2"):
        folder = shutil.copytree(library_models(family, tied=True)[1], tmp_path / family)
        file = next(folder.glob("*.safetensors"))
        save_file({n: a for n, a in load_file(file).items() if n != "lm_head.weight"}, file, metadata={"format": "np"})
        model = load(folder)
        hidden = paddle.randn([1, 3, 32])
        embedding = getattr(model, model.base_model_prefix).embed_tokens.weight
        wanted = hidden[0, 1:2] @ embedding.gather(paddle.to_tensor([TOKENS.positive, TOKENS.negative])).T
        assert_close(heads.reward_logits(model, hidden.reshape([-1, hidden.shape[-1]])[1:2], TOKENS), wanted)
