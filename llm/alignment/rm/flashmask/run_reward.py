"""Train and evaluate a reward model.

    python -u -m paddle.distributed.launch [--gpus "0,1,2,3"] llm/alignment/rm/flashmask/run_reward.py CONFIG.json
    python llm/alignment/rm/flashmask/run_reward.py CONFIG.json [--key value ...]

The configuration is a JSON object; what stands on the command line wins over it. --help lists every parameter.
"""

import sys
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[4])

from llm.core.cpu import environment

THREADS = environment.prepare()  # before paddle is imported

import paddle
import paddle.distributed as dist
from paddlenlp.trainer import set_seed

from llm.alignment.rm.flashmask import reward_argument, reward_checks
from llm.alignment.rm.flashmask.data import form_of_data, load_rows, weighed
from llm.alignment.rm.flashmask.reward_model import as_reward_model
from llm.alignment.rm.flashmask.reward_trainer import RewardTrainer, trainer_for
from llm.core.checkpoint import compatibility, output_folder
from llm.core.console import plain_errors
from llm.core.files import write_json
from llm.core.model import attention, load, lora
from llm.core.model import config as config_module
from llm.core.model import folder as folder_module
from llm.core.model.grow_vocabulary import grow_vocabulary
from llm.core.parallel import gloo, layout, rank_failure, same_run
from llm.core.rows.batch import collate
from llm.core.rows.label_weights import weigh_labels
from llm.core.settings.display import render, save
from llm.core.settings.parse import parse
from llm.core.text.load_tokenizer import load_tokenizer
from llm.core.text.reward_tokens import add_placeholder, find_reward_tokens
from llm.core.train.progress import quiet_library
from llm.core.train.resumable_trainer import SaveError


def main(argv: list[str]) -> dict:
    """Runs what the settings say; returns the results."""
    quiet_library()
    gloo.install()
    with plain_errors(ValueError, OSError):
        settings = read_settings(argv)
        model_path = folder_module.find_model(settings["model_name_or_path"])
        config = config_module.load_config(model_path)
        layout.fit_to_model(settings, config)
        reward_checks.fit_to_model(settings, config_module.longest_solution(config), config.model_type)
        form = form_of_data(settings, data_sets(settings))
        reward_checks.fit_to_form(settings, form)
        tokenizer, tokens = read_tokenizer(settings, model_path, config)
        train, dev = read_data(settings, tokenizer, tokens, form)
        rows = train and training_rows(settings, train)
        ranks = dist.get_world_size()
        steps = reward_checks.steps_of_run(settings, train and train.rows, layout.data_ranks(settings, ranks))
        reward_checks.fit_to_steps(settings, *steps)
        base = load.fingerprint(model_path, config) if settings["lora"] else None
        identity = reward_checks.identity(settings, model_path, base, train and train.fingerprint, ranks)
        checkpoint = output_folder.prepare(settings, model_path, identity, first_rank=dist.get_rank() == 0)
        compatibility.fit_to_checkpoint(settings, config, checkpoint)
        training_args, *others = reward_checks.build(settings)
        same_run.check(training_args.output_dir, checkpoint, identity, dev and dev.fingerprint, settings)
        attend, why = attention.choose(settings["use_flash_attention"], settings["flash_mask"])
        show_start(settings, train, dev, steps[0], why, checkpoint or model_path)
        set_seed(training_args.seed)
        model = load.load_model(model_path, config, attend, weight_dtype(settings), training_args)
        grow_vocabulary(model, len(tokenizer))
        model = as_reward_model(model, tokens, over_vocabulary=settings["prm_loss"] == "vocabulary")
        if settings["lora"]:
            model = add_adapters(model, settings, tokenizer, tokens, model_path)

    trainer = trainer_for(form)(
        model=model,
        args=training_args,
        train_dataset=rows,
        eval_dataset=dev and dev.rows,
        tokenizer=tokenizer,
        # any id that the model has will pad: padding is seen by itself alone
        collate=partial(collate, pad_id=0, multiple=sequence_parts(settings)),
        keeps_checkpoints=not measures_speed(settings),
        identity=identity,
        unified=settings["unified_checkpoint"],
        steps=steps[0],
        steps_per_pass=steps[1],
    )
    locked = output_folder.locked(training_args.output_dir, trainer.is_world_process_zero())
    with plain_errors(SaveError, OSError, ValueError), rank_failure.told(), locked:
        if trainer.is_world_process_zero():
            leave_settings(settings, (training_args, *others), base)
        return run(trainer, checkpoint)


def leave_settings(settings, instances: tuple, base_weights: str | None) -> None:
    folder = Path(instances[0].output_dir)
    if settings["overwrite_output_dir"] and settings["do_train"]:
        output_folder.delete_checkpoints(folder)
    save(settings, instances, folder / output_folder.SETTINGS_FILE)
    if base_weights:
        write_json(folder / lora.BASE_FILE, {"weights": base_weights})


def run(trainer: RewardTrainer, checkpoint: Path | None) -> dict:
    """Training and evaluation, as far as they are asked for."""
    results = {}
    if trainer.args.do_train:
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        if trainer.stop_asked:
            say(trainer.where_stopped())
            return results
        results |= end_training(trainer)
    if trainer.args.do_eval:
        metrics = trainer.evaluate()
        trainer.write_results("eval", metrics)
        results |= metrics
    if trainer.args.do_train:
        trainer.save_state()
    trainer.close_curves()
    say(f"results and model: {trainer.args.output_dir}")
    return results


def read_settings(argv: list[str]):
    classes, misprints = reward_argument.CLASSES, reward_argument.MISPRINTS
    settings = parse(classes, argv, __doc__, misprints, inherited=reward_argument.TRAINER_SETTINGS)
    reward_checks.resolve(settings, ranks=dist.get_world_size(), has_cuda=paddle.is_compiled_with_cuda())
    return settings


def read_tokenizer(settings, model_path: str, config=None):
    """(tokenizer, ids of the three tokens); with the model's configuration they are known to belong together."""
    path = model_path
    if settings["tokenizer_name_or_path"]:
        path = folder_module.find_model(settings["tokenizer_name_or_path"], "tokenizer_name_or_path")
    tokenizer = load_tokenizer(path)
    if note := tokenizer.note_on_saving():
        say(note)
    if config is not None:
        config_module.check_vocabulary(config, tokenizer)
    if settings["add_placeholder_token"]:
        say(add_placeholder(tokenizer, settings["placeholder_token"]))
    reward_tokens = reward_argument.split_reward_tokens(settings["reward_tokens"])
    return tokenizer, find_reward_tokens(tokenizer, settings["placeholder_token"], reward_tokens)


def data_sets(settings) -> list[str]:
    """The settings that name data which this run needs."""
    needed = {"train_dataset_path": settings["do_train"], "dev_dataset_path": settings["do_eval"]}
    return [name for name, wanted in needed.items() if wanted]


def read_data(settings, tokenizer, tokens, form: str):
    """(training rows or None, held-out rows or None)"""
    reward_tokens = reward_argument.split_reward_tokens(settings["reward_tokens"])
    sets = {
        name: load_rows(settings[name], settings, tokenizer, tokens, reward_tokens, form)
        for name in data_sets(settings)
    }
    return sets.get("train_dataset_path"), sets.get("dev_dataset_path")


def training_rows(settings, train):
    """The rows with what their labels count in training."""
    weight = reward_checks.positive_weight(settings, train.counted)
    if settings["balance_labels"]:
        say(f"balance_labels: the positive part of a label counts {weight:.4g}, the negative part 1")
    if weight == 1.0 and not settings["label_smoothing"]:
        return train.rows
    weigh = partial(weigh_labels, smoothing=settings["label_smoothing"], positive_weight=weight)
    return weighed(train.rows, weigh)


def weight_dtype(settings) -> str:
    return "bfloat16" if settings["bf16"] and settings["fp16_opt_level"] == "O2" else "float32"


def add_adapters(model, settings, tokenizer, tokens, model_path: str):
    rank, alpha, targets = (settings[name] for name in ("lora_rank", "lora_alpha", "lora_target_modules"))
    added = settings["add_placeholder_token"] and tokens.placeholder in tokenizer.get_added_vocab().values()
    adapted = lora.attach(model, tokens, model_path, rank, alpha, targets, added, settings["seed"])
    say(lora.describe(adapted))
    return adapted


def sequence_parts(settings) -> int:
    """What the tokens of a row must be divisible by."""
    return layout.degree(settings, layout.TENSOR) if settings["sequence_parallel"] else 1


def measures_speed(settings) -> bool:
    return settings["benchmark"] or settings["autotuner_benchmark"]


def show_start(settings, train, dev, steps: int, attention_choice: str, start: str | Path) -> None:
    say(render(settings))
    for name, rows in (("training data", train), ("held-out data", dev)):
        if rows is not None:
            say("\n".join(rows.describe(name, settings["max_seq_len"])))
    if settings["do_train"]:
        say(f"updates to run: {steps:,}")
    say(f"attention: {attention_choice}")
    say(f"threads: {' '.join(f'{name}={value}' for name, value in THREADS.items()) or 'as the environment has them'}")
    for line in reward_checks.without_effect(settings, dist.get_world_size()):
        say(line)
    say(f"starts from: {start}")


def end_training(trainer: RewardTrainer) -> dict:
    results = {f"train_{name}": value for name, value in trainer.train_totals().items()}
    if trainer.args.load_best_model_at_end and trainer.state.best_model_checkpoint is None:
        say(f"no evaluation had a {trainer.args.metric_for_best_model}, so the model at the end is the last one")
    if trainer.keeps_checkpoints:
        trainer.save_final_model()
    trainer.write_results("train", results)
    return results


def say(text: str) -> None:
    if dist.get_rank() == 0:
        print(text, flush=True)


if __name__ == "__main__":
    gloo.run(main, sys.argv[1:])
