"""What the settings of low-rank adapters may be. No paddle here."""

from __future__ import annotations

from llm.core.model.shapes import PROJECTIONS
from llm.core.settings.settings import Settings


def check_settings(settings: Settings) -> None:
    """Refuse what cannot be, before a model is loaded."""
    names = ("lora_rank", "lora_alpha", "lora_target_modules")
    if not settings["lora"]:
        for name in names:
            # the settings that a run saves name all three, together with "lora": false
            idle = settings.is_written("lora") and settings[name] == settings.parameters[name].default
            if settings.is_written(name) and not idle:
                settings.refuse(name, "lora is false, so there are no adapters; write lora true, too, or leave it out")
        return
    targets = settings["lora_target_modules"]
    unknown = [] if targets is None else [name for name in targets if name not in PROJECTIONS]
    if unknown or targets == []:
        called = ", ".join(map(repr, unknown))
        why = f"no layer that can have adapters is called {called}" if unknown else "names nothing"
        why += "; of the head the two reward rows train as they are" if "lm_head" in unknown else ""
        settings.refuse(names[2], f"{why}; write some of {', '.join(PROJECTIONS)}, or leave it out for all of them")
