"""PaddleNLP in parts: of its packages only those modules are imported that are needed.

`import paddlenlp` imports everything it has, a hundred model families, tools for dialogues and images, and with them
pandas, scikit-learn and others, which takes longer than training's first update. Here a package is first there without
what its __init__ imports. That runs as soon as something is asked of the package that no module in `HOMES` gives, so
nothing is missing, only later.
"""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# Packages, and where in them the names are that this project and the modules that it needs ask them for.
HOMES: dict[str, dict[str, str]] = {
    "paddlenlp": {},
    "paddlenlp.data": dict.fromkeys(
        (
            "DataCollator",
            "DataCollatorForSeq2Seq",
            "DataCollatorWithPadding",
            "default_data_collator",
        ),
        "data_collator",
    )
    | dict.fromkeys(("DistDataLoader", "init_dataloader_comm_group"), "dist_dataloader"),
    "paddlenlp.peft": {
        "LoKrModel": "lokr",
        "LoRAConfig": "lora",
        "LoRAModel": "lora",
        "PrefixModelForCausalLM": "prefix",
        "ReFTModel": "reft",
        "VeRAModel": "vera",
    },
    "paddlenlp.peft.reft": {"ReFTModel": "reft_model"},
    "paddlenlp.prompt": {},
    "paddlenlp.trainer": {},
    "paddlenlp.transformers": {
        "AutoConfig": "auto.configuration",
        "BertTokenizer": "bert.tokenizer",
        "LlamaConfig": "llama.configuration",
        "LlamaForCausalLM": "llama.modeling",
        "PretrainedModel": "model_utils",
        "PretrainedTokenizer": "tokenizer_utils",
    },
    "paddlenlp.transformers.llama": {},
    "paddlenlp.transformers.mistral": {},
    "paddlenlp.transformers.qwen2": {},
    "datasets": {},
}


def prepare() -> None:
    """For everything that is imported from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Package(ModuleType):
    def __getattr__(self, name: str) -> Any:
        """Of what is not there yet."""
        package = self.__name__
        if home := HOMES[package].get(name):
            return getattr(import_module(f"{package}.{home}"), name)
        is_of_python = name.startswith("__") and name != "__all__"
        whole = None if is_of_python else self.__dict__.pop("_whole", None)
        if whole is not None:
            whole.exec_module(self)
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in HOMES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Later(spec.loader)
        return spec


class _Later(Loader):
    def __init__(self, whole: Loader):
        self.whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Package(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["_whole"] = self.whole
        if module.__name__ == "paddlenlp":  # what its __init__ does besides importing
            import paddle

            module.__dict__["__version__"] = metadata.version("paddlenlp")
            paddle.disable_signal_handler()
