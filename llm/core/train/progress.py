"""What a person sees while a run is under way: a bar with the time left, and one line per log."""

from __future__ import annotations

from paddlenlp.trainer.trainer_callback import TrainerCallback
from tqdm import tqdm

from llm.core.console import WIDTH

SHOWN_IN_BAR = ("loss", "accuracy")
# in a line of an update only in the file and the curves; margin_mean is the difference of the two rewards
NOT_OF_UPDATES = ("ties", "chosen_reward_mean", "rejected_reward_mean", "solutions_per_second")
# name in a line of the log: its name on the screen, and its form
SHOWN = {
    "accuracy": ("acc", "{:.4f}"),
    "accuracy_positive": ("acc+", "{:.4f}"),
    "accuracy_negative": ("acc-", "{:.4f}"),
    "margin_mean": ("margin", "{:.4f}"),
    "chosen_reward_mean": ("chosen", "{:.4f}"),
    "rejected_reward_mean": ("rejected", "{:.4f}"),
    "learning_rate": ("lr", "{:.2e}"),
    "gradient_norm": ("grad", "{:.2f}"),
    "tokens_per_second": ("tok/s", "{:.0f}"),
    "epoch": ("epoch", "{:.2f}"),
}
EVALUATION = "eval_"


class Progress(TrainerCallback):
    """Takes the place of PaddleNLP's bar, which writes every value with all its digits through the logger."""

    def __init__(self, shows_bar: bool):
        self.shows_bar = shows_bar
        self.bar = None

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero and self.shows_bar:
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="train", unit="update")

    def on_step_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero:
            return
        if self.bar is not None:
            self.bar.set_postfix({name: f"{logs[name]:.4f}" for name in SHOWN_IN_BAR if name in logs}, refresh=False)
        tqdm.write(line_of(logs, state.global_step, state.max_steps))

    def on_train_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def line_of(logs: dict, update: int, of: int) -> str:
    """One line of the screen for an update, and as many as it needs for an evaluation; no part is cut."""
    is_evaluation = any(name.startswith(EVALUATION) for name in logs)
    title = f"update {update}/{of}"
    if is_evaluation:
        title = f"evaluation after {title}" if of else "evaluation"  # of a run that does not train
    names = [name for name in logs if is_evaluation or name not in NOT_OF_UPDATES]
    return wrapped([title, *(shown(name.removeprefix(EVALUATION), logs[name]) for name in names)])


def shown(name: str, value) -> str:
    title, digits = SHOWN.get(name, (name, "{:.4f}"))
    return f"{title} {digits.format(value) if isinstance(value, float) else value}"


def wrapped(parts: list[str]) -> str:
    """Parts stay whole."""
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + 2 + len(part) > WIDTH:
            lines.append("")
        indent = "    " if len(lines) > 1 else ""
        lines[-1] += f"  {part}" if lines[-1] else f"{indent}{part}"
    return "\n".join(lines)
