"""The tokenizer that tiny published models share."""

import pytest

from tests.core.conftest import QWEN_TEMPLATE, byte_level, listed, special, write_config

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>", "[PAD]")


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """Byte-level, with the special tokens of all conventions, ки as one token, and Qwen's template."""
    backend = byte_level("")
    backend.add_special_tokens(special(*SPECIAL))
    folder = tmp_path_factory.mktemp("tokenizer")
    backend.add_tokens([" ки"])
    backend.save(str(folder / "tokenizer.json"))
    write_config(
        folder,
        tokenizer_class="PreTrainedTokenizerFast",
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="[PAD]",
        added_tokens_decoder=listed(backend),
        chat_template=QWEN_TEMPLATE,
    )
    return folder
