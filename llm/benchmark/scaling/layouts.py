"""The layouts that `benchmark scaling` measures: how many processes, and the settings that differ."""

from __future__ import annotations

TENSOR, PIPELINE = {"tensor_parallel_degree": 2}, {"pipeline_parallel_degree": 2}
SEQUENCE, STAGE1 = TENSOR | {"sequence_parallel": True}, {"sharding": "stage1", "sharding_parallel_degree": 2}
LAYOUTS: dict[str, tuple[int, dict]] = {  # processes, settings
    "data": (2, {}),
    "stage1": (2, STAGE1),
    "stage2": (2, {"sharding": "stage2"}),
    "stage3": (2, {"sharding": "stage3"}),
    "tensor": (2, TENSOR),
    "sequence": (2, SEQUENCE),
    "pipeline": (2, PIPELINE),
    "pipeline of 4": (4, {"pipeline_parallel_degree": 4}),
    "tensor x stage1": (4, TENSOR | STAGE1),
    "tensor x stage2": (4, TENSOR | {"sharding": "stage2"}),
    "tensor x data": (4, TENSOR),
    "stage1 x data": (4, STAGE1),
    "pipeline x stage1": (4, PIPELINE | STAGE1),
    "pipeline x tensor": (4, PIPELINE | TENSOR),
    "pipeline x sequence": (4, PIPELINE | SEQUENCE),
    "pipeline x tensor x stage1": (8, PIPELINE | TENSOR | STAGE1),
}
