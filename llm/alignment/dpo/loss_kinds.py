"""The losses that loss_type names, and which settings each takes. No paddle here.

u and v are the log-ratios of a pair's chosen and rejected answer: log-probability by the policy less that by the
reference. With normalize_logps both are means over the answer's tokens instead of sums, which simpo and orpo always
take. Without a reference nothing is subtracted. implicit_prm learns from single answers: y is the label of one.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    formula: str
    needs_reference: bool = True
    by_mean: bool = False  # of tokens: normalize_logps is true
    smooths: bool = False  # takes label_smoothing
    over_batch: bool = False  # what a pair counts depends on the other pairs of the update
    of_labels: bool = False  # of one answer and its label instead of a pair


SIGMOID, SIMPO, ORPO, KTO, IMPLICIT = "sigmoid", "simpo", "orpo", "kto_pair", "implicit_prm"
KINDS = {
    SIGMOID: Kind("-log σ(β(u - v))"),
    "conservative": Kind("-(1 - ε) log σ(β(u - v)) - ε log σ(-β(u - v))", smooths=True),
    "robust": Kind("(-(1 - ε) log σ(β(u - v)) + ε log σ(-β(u - v))) / (1 - 2ε)", smooths=True),
    "hinge": Kind("max(0, 1 - β(u - v))"),
    "ipo": Kind("(u - v - 1 / (2β))²"),
    "nca_pair": Kind("-log σ(βu) - ½ log σ(-βu) - ½ log σ(-βv)"),
    "exo_pair": Kind("p log(p / (1 - ε)) + (1 - p) log((1 - p) / ε) with p = σ(β(u - v))", smooths=True),
    SIMPO: Kind("-log σ(β(u - v) - γ)", needs_reference=False, by_mean=True),
    ORPO: Kind("-u - β log σ(log(eᵘ / (1 - eᵘ)) - log(eᵛ / (1 - eᵛ)))", needs_reference=False, by_mean=True),
    KTO: Kind("½(1 - σ(β(u - max(0, v̄)))) + ½(1 - σ(β(max(0, ū) - v)))", over_batch=True),
    IMPLICIT: Kind("-y log σ(βu) - (1 - y) log σ(-βu)", of_labels=True),
}
OF_PAIRS = [name for name, kind in KINDS.items() if not kind.of_labels]
