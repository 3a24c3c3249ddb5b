"""What oneDNN does on every processor: its layouts, gradients and kept weights are tried where it has no bfloat16."""

from __future__ import annotations

from llm.core.cpu.bfloat16.products import ByOneDnn


class OneDnnInFloat32(ByOneDnn):
    def narrow(self, x):
        return x
