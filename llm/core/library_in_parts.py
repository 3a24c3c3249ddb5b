"""PaddleNLP without what training does not need.

`import paddlenlp` imports everything it has, tools for dialogues, images and servers among it, and with them pandas,
scikit-learn, scipy and others, which takes longer than training's first update. Here a package of `PACKAGES` is first
there without what its __init__ imports. Its modules can be imported one by one. Asked for another name, it runs its
__init__: nothing is missing, only later.
"""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

PACKAGES = ("datasets", "paddlenlp", "paddlenlp.prompt", "paddlenlp.trainer")  # the first is Hugging Face's


def prepare() -> None:
    """For everything that is imported from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Package(ModuleType):
    _whole: Loader | None = None  # of its __init__, until that runs

    def __getattr__(self, name: str) -> Any:
        """Of what is not there yet."""
        if self._whole is not None and (not name.startswith("__") or name == "__all__"):
            if self.__name__.startswith("paddlenlp") and find_spec(f"{self.__name__}.{name}"):
                return import_module(f"{self.__name__}.{name}")
            whole, self._whole = self._whole, None
            whole.exec_module(self)
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in PACKAGES else None
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
        if module.__name__ == "paddlenlp":
            _begin(module)


def _begin(paddlenlp: ModuleType) -> None:
    """What its __init__ does besides importing, and which module it imports first: the others rely on that."""
    import paddle

    paddlenlp.__dict__["__version__"] = metadata.version("paddlenlp")
    import_module("paddlenlp.data")
    paddle.disable_signal_handler()
