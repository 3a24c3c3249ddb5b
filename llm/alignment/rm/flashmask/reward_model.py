"""A causal LM, or a model with a head of its own, as a reward model: the same weights, another forward."""

from __future__ import annotations

import types

from paddlenlp.trainer.trainer_utils import set_seed

from llm.alignment.rm.flashmask.reward_format import RewardFormat
from llm.alignment.rm.flashmask.reward_run import RewardRun
from llm.core import patches
from llm.core.model import forward as forward_module
from llm.core.model import pipeline, weights
from llm.core.model.adapters import lora
from llm.core.model.config import load_config
from llm.core.model.grow_vocabulary import grow_vocabulary
from llm.core.model.head import heads, reward_head
from llm.core.model.head.chunked_logsumexp import log_normaliser
from llm.core.model.load import weight_files
from llm.core.parallel.ranks import say
from llm.core.records.reward_records import PREFERENCES
from llm.core.run.language_model import obey_bf16
from llm.core.text.reward_tokens import RewardTokens
from llm.core.train.library_arguments import LibraryArguments


def as_reward_model(model, tokens: RewardTokens, over_vocabulary: bool = False):
    """`model(input_ids, position_ids, end_row, scored)` gives the [K, 2] logits of the scored positions; with
    `over_vocabulary` as logarithms of the probabilities among all tokens, which changes no score.

    The forward is replaced on the instance: the class, and so what is saved, stays the causal LM that it was, and
    Paddle's wrappers for several ranks find the whole computation inside one forward.
    """

    def logits_of(hidden_KE):
        logits_K2 = heads.reward_logits(model, hidden_KE, tokens)
        if over_vocabulary:
            whole = log_normaliser(hidden_KE, model.lm_head.weight, heads.is_tied(model))
            logits_K2 = logits_K2 - whole.unsqueeze(-1)
        return logits_K2

    def forward(self, input_ids, position_ids, end_row, scored):
        hidden_BSE = forward_module.hidden_states(self, input_ids, position_ids, end_row)
        head = logits_of if reward_head.of(self) else self.lm_head
        return head(forward_module.at_scored(hidden_BSE, scored))

    # Past Layer.__setattr__, with which PaddleNLP guards the forward's signature for generation. The LM head keeps its
    # call: sharding stage 3 brings its weight together before, and cuts it up again behind.
    model.__dict__["reward_logits"] = logits_of
    if model.config.pipeline_parallel_degree > 1:
        pipeline.give_hidden_states(model)
        return model
    if not reward_head.of(model):
        model.lm_head.__dict__["forward"] = logits_of
    model.__dict__["forward"] = types.MethodType(forward, model)
    return model


def build_model(run: RewardRun, reward_format: RewardFormat, attend, arguments: LibraryArguments):
    """The model that trains: loaded, with a row for an added placeholder, as a reward model, with adapters if asked."""
    set_seed(run.training.seed)
    config = load_config(run.model_path, run.model.reward_head)
    new_head = None
    if run.model.init_reward_head:
        check_head_is_missing(run, config)
        new_head = run.training.seed
    model = patches.load_model(run.model_path, config, attend, run.weight_dtype, arguments, new_head)
    if run.form == PREFERENCES and not run.training.reward_centering and (head := reward_head.of(model)):
        reward_head.keep_last_bias(head)
    grow_vocabulary(model, len(reward_format.tokenizer))
    model = as_reward_model(model, reward_format.tokens, over_vocabulary=run.training.prm_loss == "vocabulary")
    if not run.model.lora:
        obey_bf16(run, model)
        return model
    adapted = lora.attach(
        model,
        reward_format.tokens,
        base=run.model_path,
        rank=run.model.lora_rank,
        alpha=run.model.lora_alpha,
        targets=run.model.lora_target_modules,
        new_placeholder=trains_placeholder_row(run, reward_format),
        seed=run.training.seed,
        dtype=run.trained_dtype,
    )
    obey_bf16(run, adapted.model)
    say(lora.describe(adapted))
    return adapted


def check_head_is_missing(run: RewardRun, config) -> None:
    """A new head would replace a trained one in silence."""
    if weights.has_head(weight_files(run.model_path, config.model_type), config, run.model_path):
        raise ValueError(
            f"init_reward_head: the model in {run.model_path!r} has a {config.reward_head} head, and a new one would "
            "replace it. Leave the setting out to keep the head that is there."
        )


def trains_placeholder_row(run: RewardRun, reward_format: RewardFormat) -> bool:
    """With adapters, which leave the embedding as it is."""
    return run.model.add_placeholder_token and reward_format.placeholder_was_added
