"""All formats, and which one a row is of."""

from __future__ import annotations

from llm.core.console import listed
from llm.data.convert.form import Format, Row
from llm.data.convert.formats import (
    columns,
    helpsteer,
    helpsteer_preference,
    llmtrainer_sft,
    math_aps,
    math_aps_tree,
    math_shepherd,
    mindspeed,
    openrlhf,
    preferences,
    prm800k,
    prm800k_candidates,
    prmbench,
    processbench,
    records,
    rlhflow,
    special_token,
    trl,
    ultrafeedback,
)

MODULES = (
    *(math_shepherd, special_token, prm800k, prm800k_candidates, math_aps, math_aps_tree, processbench, prmbench),
    *(trl, openrlhf, rlhflow, mindspeed, preferences, ultrafeedback, helpsteer, helpsteer_preference),
    *(llmtrainer_sft, columns, records),
)
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in MODULES}
WRITABLE = [name for name, form in FORMATS.items() if form.write]


def format_of(row: Row, place: str) -> Format:
    """ValueError, with the choices and the fields found, where they do not tell."""
    fitting = [form for form in FORMATS.values() if form.fits(row)]
    if len(fitting) == 1:
        return fitting[0]
    found = f"the fields of {place} are {listed(list(row), most=20)}"
    if fitting:
        names = " and of ".join(form.name for form in fitting)
        raise ValueError(f"{found}: they are those of {names}; name the format first: convert FORMAT INPUT ...")
    width = max(map(len, FORMATS)) + 2
    choices = "\n".join(f"  {form.name:<{width}}{form.meaning}" for form in FORMATS.values())
    raise ValueError(
        f"{found}: no format has these. Say which columns are what, such as --map question=problem,steps=solution, or "
        f"name the format first (convert FORMAT INPUT ...):\n{choices}"
    )
