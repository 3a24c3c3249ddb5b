"""What a person sees while a run is under way: a bar with the time left, and one line per log."""

from __future__ import annotations

from paddlenlp.trainer import TrainerCallback
from tqdm import tqdm

SHOWN_IN_BAR = ("loss", "accuracy")
FORMATS = {"learning_rate": "{:.2e}", "tokens_per_second": "{:.0f}", "solutions_per_second": "{:.1f}"}


class Progress(TrainerCallback):
    """Takes the place of PaddleNLP's bar, which writes every value with all its digits through the logger."""

    def __init__(self, disable_tqdm: bool):
        self.disable_tqdm = disable_tqdm
        self.bar = None

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero and not self.disable_tqdm:
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="train", unit="step")

    def on_step_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero:
            return
        if self.bar is not None:
            self.bar.set_postfix({name: f"{logs[name]:.4f}" for name in SHOWN_IN_BAR if name in logs}, refresh=False)
        tqdm.write(f"step {state.global_step}/{state.max_steps}  {format_values(logs)}")

    def on_train_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def format_values(values: dict) -> str:
    return "  ".join(f"{name} {format_value(name, value)}" for name, value in values.items())


def format_value(name: str, value) -> str:
    if isinstance(value, float):
        return FORMATS.get(name.removeprefix("eval_"), "{:.4f}").format(value)
    return "undefined" if value is None else str(value)
