"""Makes the models that come with afmc as `demo` and `demo-teacher`, from text alone.

    pip install -c constraints.txt '.[aihwkit]'
    python examples/train_demo_afm.py --text text/*.txt -o demo --source "what that text is"

A byte-level tokenizer and a Llama of 1.8 million weights learn the text (the teacher); the teacher
writes text; a copy of it of AIHWKIT-Lightning's analog layers learns from that to stand noise (the
analog model). DIR then holds teacher/, analog/, calibration.txt and validation.txt, as afmc/demo
does. What is shipped learned from the six novels that `examples/janeausten_text.py` unpacks, with
the default options. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from afm_training import analog, corpus, sampling, teacher
from afm_training.card import Made, model_card
from afm_training.checkpoint import save_model, save_rpu_config
from afm_training.perplexity import predict
from robustness import TARGETS, measure, table

from afmc.data.text import Text

VOCABULARY = 1024
TEXT_PASSAGES = 40
"""In each of calibration.txt and validation.txt."""
ROUNDS = 4
"""How often the analog model sees each sampled passage."""


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    steps: int = 3200
    """Training steps of the teacher."""
    analog_steps: int = 640
    seed: int = 0
    """Seed of all training and sampling."""
    instances: int = 10
    """Instances of the table in the model cards; 0 leaves it out."""
    source: str = "no description"
    """What the text is, for the model cards."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=int, default=Plan.steps, help="Of the teacher.")
    parser.add_argument("--analog-steps", type=int, default=Plan.analog_steps)
    parser.add_argument("--seed", type=int, default=Plan.seed, help="Of training and sampling.")
    parser.add_argument(
        "--instances",
        type=int,
        default=Plan.instances,
        help="Of the table in the model cards; 0 leaves it out.",
    )
    parser.add_argument(
        "--source", default=Plan.source, help="What the text is, for the model cards."
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if missing := [file for file in options.text if not file.is_file()]:
        parser.error(f"{missing[0]} does not exist: --text takes files of UTF-8 text.")
    if options.output.exists():
        parser.error(f"{options.output} exists already: name a folder that does not.")
    if min(options.steps, options.analog_steps) < 1:
        parser.error("--steps and --analog-steps must be at least 1.")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(options.threads)
    plan = Plan(
        options.steps, options.analog_steps, options.seed, options.instances, options.source
    )
    try:
        train(options.text, options.output, plan)
    except corpus.TextError as error:
        parser.error(str(error))


def train(files: list[Path], output: Path, plan: Plan) -> None:
    start = time.process_time()

    def log(line: str) -> None:
        print(f"{time.process_time() - start:7.0f} s  {line}", flush=True)

    learned, held_out = corpus.read_corpus(files)
    tokenizer = corpus.train_tokenizer(learned, VOCABULARY, teacher.CONTEXT)
    ids = corpus.encode(tokenizer, learned)
    log(f"{len(learned):,} characters are {len(ids):,} tokens")

    torch.manual_seed(plan.seed)
    original = teacher.make_teacher(tokenizer)
    teacher.train_teacher(original, ids, plan.steps, log)
    output.mkdir(parents=True)
    save_model(original, original, tokenizer, output / "teacher")

    texts = {}
    for number, use in enumerate(("calibration", "validation")):
        passages = sampling.sample(original, TEXT_PASSAGES, plan.seed + 1 + number, log)
        texts[use] = Text(f"{use}.txt", sampling.as_text(tokenizer, passages))
        (output / texts[use].name).write_text(texts[use].content, encoding="utf-8")
    count = max(1, plan.analog_steps // ROUNDS) * teacher.BATCH
    passages = sampling.sample(original, count, plan.seed + 3, log)

    hardening = analog.Hardening()
    config = analog.rpu_config(hardening)
    torch.manual_seed(plan.seed + 4)
    model = analog.make_analog(original, config)
    analog.train_analog(model, original, passages, plan.analog_steps, plan.seed + 5, log)
    save_model(model, original, tokenizer, output / "analog")
    save_rpu_config(config, output / "analog")
    seconds = time.process_time() - start

    log("measuring")
    folders = {"demo-teacher": output / "teacher", "demo": output / "analog"}
    made = Made(
        source=plan.source,
        files={file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        learned=len(learned),
        tokens=len(ids),
        weights=sum(parameter.numel() for parameter in original.parameters()),
        context=teacher.CONTEXT,
        batch=teacher.BATCH,
        steps=plan.steps,
        analog_steps=plan.analog_steps,
        seed=plan.seed,
        passages=len(passages),
        hardening=hardening,
        cpu_minutes=seconds / 60,
        held_out={name: predict(folder, held_out) for name, folder in folders.items()},
        sampled={
            name: predict(folder, texts["validation"].content) for name, folder in folders.items()
        },
        table=_robustness(folders, texts, plan.instances),
    )
    for of in ("teacher", "analog"):
        (output / of / "README.md").write_text(model_card(of, made), encoding="utf-8")
    log(f"written to {output}")


def _robustness(folders: Mapping[str, Path], texts: Mapping[str, Text], instances: int) -> str:
    if not instances:
        return ""
    rows = measure(
        folders,
        TARGETS,
        instances,
        seed=0,
        calibration=texts["calibration"],
        validation=texts["validation"],
    )
    return table(rows)


if __name__ == "__main__":
    main()
