"""The processor of this machine, as figures and choices name it. No paddle here."""

from __future__ import annotations

import platform

from llm.core.cpu import environment

# of /proc/cpuinfo, and what they are called; those that decide how fast products are
INSTRUCTIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}


def describe_processor() -> str:
    """For example: AMD EPYC 7763 (AVX2), 2 threads"""
    lines = _lines(environment.cpu_description())
    flags = lines.get("flags", "").split()
    known = ", ".join(name for flag, name in INSTRUCTIONS.items() if flag in flags)
    name = lines.get("model name") or platform.processor() or platform.machine()
    return f"{name} ({known or 'instructions unknown'}), {environment.threads()} threads"


def _lines(description: str) -> dict[str, str]:
    """Of the first core."""
    pairs = (line.partition(":") for line in description.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
