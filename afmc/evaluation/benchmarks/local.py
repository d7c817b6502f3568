"""Tasks from JSON lines on this machine: their task files are made, nothing is copied or fetched.

What a line has decides what is asked:

* ``query`` or ``question``, ``choices`` and ``gold`` (or ``answer``, ``label``, the number of the
  right one): multiple choice, as lm-eval's ARC.
* ``context`` and ``continuation``, or a ``text`` whose last word is asked for: as lm-eval's
  LAMBADA.
* ``question`` and ``answer``: text is generated, and its last number, or else its last line, is
  held against the answer's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from afmc.common.tables import listed
from afmc.errors import OptionError, did_you_mean

_MOST_BYTES = 1 << 30
_NUMBER = r"((?:(?<![0-9])-)?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)"
_LINE = r"(.*\S)"


def files_of(folder: Path, tasks: Sequence[str]) -> dict[str, Path]:
    """The file of each task: ``NAME.jsonl``, or the one whose name begins with it.

    Raises OptionError, in one sentence.
    """
    if not folder.is_dir():
        raise OptionError(f"--data {folder}: there is no such folder.")
    there = {file.stem: file for file in sorted(folder.glob("*.jsonl")) if file.is_file()}
    found = {}
    for task in tasks:
        fitting = [task] if task in there else [name for name in there if name.startswith(task)]
        if len(fitting) != 1:
            known = f"there are {listed([*there])}" if there else "it has no .jsonl file at all"
            what = "several files begin with that name" if fitting else known
            raise OptionError(
                f"--data {folder} has no file {task}.jsonl: {what}.{did_you_mean(task, [*there])}"
            )
        found[task] = there[fitting[0]]
    return found


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def task_config(name: str, file: Path) -> dict[str, Any]:
    """The task as lm-eval reads it. Raises OptionError where a line does not say what is asked."""
    lines = list(_lines(file))
    form = _form(lines, file)
    wrong = next((n for n, line in enumerate(lines, 1) if not form.keys <= line.keys()), None)
    if wrong is not None:
        missing = listed(sorted(form.keys - lines[wrong - 1].keys()))
        raise OptionError(f"{file}, line {wrong} has no {missing}, which the first line has.")
    for number, line in enumerate(lines, 1):
        if form.keys == {"text"} and len(str(line["text"]).split()) < 2:
            raise OptionError(f"{file}, line {number}: the text has no word before its last one.")
        if form.right is not None and not _is_choice(line[form.right], line["choices"]):
            raise OptionError(
                f"{file}, line {number}: {form.right} must be the number of a choice, from 0, but "
                f"is {line[form.right]!r}."
            )
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file.absolute())}},
        "test_split": "test",
        **form.config,
        "metadata": {"version": 1.0},
    }


class _Form:
    def __init__(self, keys: set[str], config: Mapping[str, Any], right: str | None = None) -> None:
        self.keys, self.config, self.right = keys, config, right


def _is_choice(label: Any, choices: Any) -> bool:
    return type(label) is int and isinstance(choices, list) and 0 <= label < len(choices)


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise OptionError(f"{file} has more than {_MOST_BYTES >> 30} GiB.")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{file} is not UTF-8.") from error
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise OptionError(f"{file}, line {number} is no JSON.") from error
        if not isinstance(value, dict):
            raise OptionError(f"{file}, line {number} is no JSON object.")
        found.append(value)
    if not found:
        raise OptionError(f"{file} has no line.")
    return found


def _form(lines: Sequence[Mapping[str, Any]], file: Path) -> _Form:
    line = lines[0]
    asked = next((key for key in ("query", "question") if key in line), None)
    right = next((key for key in ("gold", "label", "answer") if key in line), None)
    if asked and right and isinstance(line.get("choices"), list):
        return _Form({asked, right, "choices"}, _multiple_choice(asked, right, line), right)
    if {"context", "continuation"} <= line.keys():
        keys = {"context", "continuation"}
        return _Form(keys, _continuation("{{context.rstrip()}}", "{{' ' + continuation.strip()}}"))
    if "text" in line:
        context = "{{text.strip().split(' ')[:-1]|join(' ')}}"
        word = "{{' ' + text.strip().split(' ')[-1]}}"
        return _Form({"text"}, _continuation(context, word))
    if "question" in line and "answer" in line:
        return _Form({"question", "answer"}, _generation(lines))
    raise OptionError(
        f"{file}, line 1 has {listed(sorted(line)) or 'nothing'}: a task needs query, choices and "
        f"gold; context and continuation; text; or question and answer."
    )


def _multiple_choice(asked: str, right: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """With the prompt of lm-eval's ARC around a question that brings none of its own."""
    question = "" if str(line[asked]).startswith("Question:") else "Question: "
    return {
        "output_type": "multiple_choice",
        "doc_to_text": f"{question}{{{{{asked}}}}}\nAnswer:",
        "doc_to_target": right,
        "doc_to_choice": "choices",
        "metric_list": [_mean("acc"), _mean("acc_norm")],
    }


def _continuation(context: str, word: str) -> dict[str, Any]:
    perplexity = {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False}
    return {
        "output_type": "loglikelihood",
        "doc_to_text": context,
        "doc_to_target": word,
        "metric_list": [perplexity, _mean("acc")],
    }


def _generation(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is generated and the right answer are reduced alike: to the last number where every
    answer has one, else to the last line."""
    answers = [str(line.get("answer", "")) for line in lines]
    pattern = _NUMBER if all(re.search(_NUMBER, each) for each in answers) else _LINE

    def right(line: Mapping[str, Any]) -> str:
        found = re.findall(pattern, str(line["answer"]))
        return str(found[-1]).strip() if found else ""

    pick = {"function": "regex", "regex_pattern": pattern, "group_select": -1}
    return {
        "output_type": "generate_until",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": right,
        "generation_kwargs": {"until": ["\n\n", "Question:"], "do_sample": False},
        "filter_list": [{"name": "last", "filter": [pick, {"function": "take_first"}]}],
        "metric_list": [_mean("exact_match") | {"ignore_case": True, "regexes_to_ignore": [","]}],
    }


def _mean(metric: str) -> dict[str, Any]:
    return {"metric": metric, "aggregation": "mean", "higher_is_better": True}
