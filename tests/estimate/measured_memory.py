"""What a training step holds on this CPU, counted by Paddle's allocator, beside the estimate's formulas in float32.

    python tests/estimate/measured_memory.py [CASE ...]     such as llama:dense:full:0:untied:rewards

A process of its own: this project's CPU layers keep fewer tensors than PaddleNLP's, which are what runs on a GPU, so
they are left out here. FlashMask's place is taken by this project's attention kernel, which keeps the same tensors.
Without arguments every case is measured, one JSON line for each; the first line is about the norms in bfloat16.
"""

from __future__ import annotations

import gc
import json
import sys
from itertools import product
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[0] = str(REPOSITORY)

from llm.core import patches
from llm.core.cpu import environment

environment.prepare()

import paddle
from paddle.base import core
from paddlenlp.peft import LoRAConfig, LoRAModel
from paddlenlp.transformers.llama.modeling import LlamaRMSNorm
from paddlenlp.transformers.mistral.modeling import MistralRMSNorm
from paddlenlp.transformers.qwen2.modeling import Qwen2RMSNorm
from paddlenlp.utils.log import logger

from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.core.cpu.kernels.build import kernels
from llm.core.model import attention, load
from llm.core.model.families import FAMILIES
from llm.core.model.head.losses import reward_cross_entropy
from llm.core.model.language_model import as_language_model
from llm.core.model.sizes import sizes_of
from llm.core.text.reward_tokens import RewardTokens
from llm.estimate.memory import estimate
from llm.estimate.plan import Plan

FEATURES = "family", "attention", "recompute", "lora_rank", "embeddings", "learns"
CONFIG = {
    "vocab_size": 2048,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
ROWS, TOKENS = 2, 512
RECOMPUTE = "off", "core_attn", "full_attn", "full"


def config_of(family: str) -> dict:
    return CONFIG | ({"head_dim": 48} if FAMILIES[family].norms_heads else {})


def build(family: str, attending: str, recompute: str, lora_rank: int, embeddings: str, learns: str):
    attend = attention.kernel_attention if attending == "flash" else attention.dense_attention
    patches.apply(patches._attention(attend))  # the layers stay those of PaddleNLP, as on a GPU
    causal_lm = FAMILIES[family].causal_lm()
    config = causal_lm.config_class(**config_of(family), tie_word_embeddings=embeddings == "tied")
    config.recompute, config.recompute_granularity = recompute != "off", "full" if recompute == "off" else recompute
    model = causal_lm(config)
    load.share_rotary_tables(model)
    if config.recompute:
        for part in model.sublayers(include_self=True):
            if hasattr(part, "enable_recompute"):
                part.enable_recompute = True
    causal_lm = model
    if lora_rank:
        model = LoRAModel(model, LoRAConfig(r=lora_rank, target_modules=[".*_proj"]))
        model.mark_only_lora_as_trainable()
        causal_lm = model.model
    model.train()
    return as_language_model(causal_lm) if learns == "text" else as_reward_model(causal_lm, RewardTokens(3, 4, 5))


def loss_of(model, learns: str):
    """Of rewards at the ends of the rows, or of every next token."""
    ids = paddle.randint(0, CONFIG["vocab_size"], [ROWS, TOKENS])
    positions = paddle.arange(TOKENS).unsqueeze(0).tile([ROWS, 1])
    end_row = paddle.full([ROWS, TOKENS], TOKENS, "int64")
    if learns == "text":
        every = paddle.arange(ROWS * TOKENS)
        return lambda: -model(ids, positions, end_row, every, every, ids.flatten())[:, 0].mean()
    scored = paddle.arange(1, ROWS + 1) * TOKENS - 1
    return lambda: reward_cross_entropy(model(ids, positions, end_row, scored), paddle.ones([ROWS])).mean()


def allocated() -> int:
    return core.host_memory_stat_current_value("Allocated", 0)


def measure(*case) -> dict:
    gc.collect()
    before = allocated()
    model = build(*case)
    trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    optimiser = paddle.optimizer.AdamW(1e-4, parameters=trained, grad_clip=paddle.nn.ClipGradByGlobalNorm(1.0))
    loss_now = loss_of(model, case[-1])
    for _ in range(2):  # the second has gradients and moments of the first
        core.host_memory_stat_reset_peak_value("Allocated", 0)
        start = allocated()
        loss = loss_now()
        kept = allocated() - start
        loss.backward()
        del loss
        optimiser.step()
        optimiser.clear_grad()
        peak = core.host_memory_stat_peak_value("Allocated", 0) - before
    return {
        "parameters": sum(p.size for p in model.parameters()),
        "trained": sum(p.size for p in trained),
        "stays": allocated() - before,
        "kept": kept,
        "peak": peak,
    }


def expected(family: str, attending: str, recompute: str, lora_rank: int, embeddings: str, learns: str) -> dict:
    plan = Plan(
        ROWS,
        TOKENS,
        "float32",
        recompute="" if recompute == "off" else recompute,
        lora_rank=lora_rank,
        flash_mask=attending == "flash",
        learns_text=learns == "text",
    )
    config = {"model_type": family, "tie_word_embeddings": embeddings == "tied", **config_of(family)}
    terms = estimate(sizes_of(config, "here"), plan)
    stays = sum(terms[name] for name in ("weights", "gradients", "optimiser", "tables"))
    return {"stays": stays, "kept": terms["activations"], "peak": sum(terms.values())}


def norm_in_bf16(family: str) -> float:
    """Bytes that a norm keeps for each value of a bfloat16 input, which itself is kept by others."""
    kinds = {"llama": LlamaRMSNorm, "mistral": MistralRMSNorm}
    config = FAMILIES[family].causal_lm().config_class(**CONFIG)
    paddle.set_default_dtype("bfloat16")
    norm = kinds.get(family, Qwen2RMSNorm)(CONFIG["hidden_size"] if family == "mistral" else config)
    paddle.set_default_dtype("float32")
    given = paddle.zeros([TOKENS, CONFIG["hidden_size"]]).astype("bfloat16")
    given.stop_gradient = False
    before = allocated()
    out = norm(given)
    return (allocated() - before) / out.size - out.element_size()


def every_case():
    attentions = ("dense", "flash") if kernels()[0] is not None else ("dense",)
    yield from product(FAMILIES, attentions, RECOMPUTE, (0, 8), ["untied"], ["rewards"])
    yield from product(("llama", "qwen2"), ["dense"], RECOMPUTE, [0], ["tied"], ["rewards"])
    yield from product(FAMILIES, attentions, ("off", "full"), (0, 8), ["untied"], ["text"])


def main() -> None:
    logger.set_level("ERROR")
    paddle.set_device("cpu")
    print(json.dumps({"norm_in_bf16": {family: norm_in_bf16(family) for family in FAMILIES}}))
    for case in [word.split(":") for word in sys.argv[1:]] or every_case():
        case = [int(feature) if name == "lora_rank" else feature for name, feature in zip(FEATURES, case, strict=True)]
        measured, estimated = measure(*case), expected(*case)
        deviation = {name: round(estimated[name] / measured[name] - 1, 4) for name in estimated}
        outcome = {"measured": measured, "estimated": estimated, "deviation": deviation}
        print(json.dumps(dict(zip(FEATURES, case, strict=True)) | outcome), flush=True)


if __name__ == "__main__":
    main()
