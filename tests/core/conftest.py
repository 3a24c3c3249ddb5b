"""Small tokenizers of each kind, in the files that a model's folder has."""

import io
import json
from pathlib import Path

import pytest

SENTENCES = [
    "Janet has 16 eggs and sells 9 of them at $2 each.",
    "16 - 9 = 7 eggs are left. ки",
    "She makes 9 * 2 = $18. ки",
    r"So \[ x^2 + 3x - 4 = 0 \] and \frac{1}{2}$. ки",
    "Tom's step: don't add - 3 + 4 here.",
    "Шаг один. 日本語の手順。 ки",
    "What is 2 + 3? It is 5.\n\nThe answer is: 5 ки",
    "def f(x):\n    return x + 1 - 2",
]
# How Llama 3 and Qwen 2 divide text before they join bytes; Qwen's digits stand alone.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA2_TEMPLATE = (
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3_TEMPLATE = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' +"
    " message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' %}{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{%- endif %}{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)

# As Qwen3's: thoughts are a field or stand in the text; they are left out of earlier answers, and the last answer has
# a block for them even if it is empty.
QWEN3_TEMPLATE = (
    "{%- set at = namespace(last=-1) %}{%- for m in messages[::-1] %}{%- if at.last < 0 and m.role == 'user' %}"
    "{%- set at.last = messages|length - loop.index %}{%- endif %}{%- endfor %}"
    "{%- for m in messages %}{%- set text = m.content %}{%- set thoughts = '' %}"
    "{%- if m.reasoning_content is string %}{%- set thoughts = m.reasoning_content %}"
    "{%- elif m.role == 'assistant' and '</think>' in text %}"
    "{%- set thoughts = text.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{%- set text = text.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{{- '<|im_start|>' + m.role + '\n' }}{%- if m.role == 'assistant' and loop.index0 > at.last %}"
    "{{- '<think>\n' + thoughts + '\n</think>\n\n' }}{%- endif %}{{- text + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)


def byte_level(digits: str):
    """A byte-level BPE trained on the sentences, divided as WORDS with so many digits together."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(WORDS % digits), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=480, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(SENTENCES * 3, trainer)
    return backend


def write_config(folder: Path, **config) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def listed(backend) -> dict:
    """added_tokens_decoder as transformers writes it."""
    flags = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    added = backend.get_added_tokens_decoder()
    return {str(number): {flag: getattr(token, flag) for flag in flags} for number, token in added.items()}


def special(*names: str) -> list:
    from tokenizers import AddedToken

    return [AddedToken(name, special=True, normalized=False) for name in names]


@pytest.fixture(scope="session")
def llama3(tmp_path_factory) -> Path:
    """tokenizer.json that puts the start token itself, for PreTrainedTokenizerFast."""
    from tokenizers import processors

    backend = byte_level("{1,3}")
    names = "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"
    backend.add_special_tokens(special(*names))
    start = (names[0], backend.token_to_id(names[0]))
    template = processors.TemplateProcessing(single=f"{names[0]} $A", special_tokens=[start])
    backend.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    folder = tmp_path_factory.mktemp("llama3")
    backend.save(str(folder / "tokenizer.json"))
    write_config(
        folder,
        tokenizer_class="PreTrainedTokenizerFast",
        bos_token=names[0],
        eos_token=names[4],
        added_tokens_decoder=listed(backend),
        chat_template=LLAMA3_TEMPLATE,
    )
    return folder


def write_qwen2(folder: Path) -> None:
    """tokenizer.json alone, without a start token, with a token that is added but not special."""
    from tokenizers import normalizers, processors

    backend = byte_level("")
    backend.normalizer = normalizers.NFC()
    backend.add_special_tokens(special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    backend.add_tokens(["<think>"])
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.save(str(folder / "tokenizer.json"))
    write_config(
        folder,
        tokenizer_class="Qwen2Tokenizer",
        bos_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        add_bos_token=False,
        added_tokens_decoder=listed(backend),
        chat_template=QWEN_TEMPLATE,
    )


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("qwen2")
    write_qwen2(folder)
    return folder


@pytest.fixture(scope="session")
def qwen3(qwen2, tmp_path_factory) -> Path:
    """The same with a template that has room for thoughts."""
    folder = tmp_path_factory.mktemp("qwen3")
    (folder / "tokenizer.json").write_bytes((qwen2 / "tokenizer.json").read_bytes())
    config = json.loads((qwen2 / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_config(folder, **config | {"chat_template": QWEN3_TEMPLATE})
    return folder


@pytest.fixture(scope="session")
def qwen2_merges(qwen2, tmp_path_factory) -> Path:
    """The same in vocab.json and merges.txt."""
    model = json.loads((qwen2 / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    folder = tmp_path_factory.mktemp("qwen2_merges")
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    (folder / "tokenizer_config.json").write_bytes((qwen2 / "tokenizer_config.json").read_bytes())
    return folder


@pytest.fixture(scope="session")
def llama2(tmp_path_factory) -> Path:
    """tokenizer.model of SentencePiece, with Llama's configuration."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in SENTENCES * 3 for line in text.split("\n")),
        model_writer=model,
        model_type="bpe",
        vocab_size=460,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    folder = tmp_path_factory.mktemp("llama2")
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    write_config(
        folder,
        tokenizer_class="LlamaTokenizer",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=LLAMA2_TEMPLATE,
    )
    return folder
