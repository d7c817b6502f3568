"""``afmc eval``: benchmarks of lm-eval on tiles, question by question beside the digital model."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import run as command
from jsonschema import Draft202012Validator

import afmc
from afmc.compiled_model import CompiledModel
from afmc.errors import OptionError
from afmc.evaluation.benchmarks import run, table
from afmc.evaluation.benchmarks.local import task_config
from afmc.evaluation.benchmarks.results import Benchmarks
from afmc.evaluation.benchmarks.run import scores_in
from afmc.evaluation.benchmarks.tasks import GROUPS, check_names, read_tasks
from afmc.evaluation.generation import generate
from afmc.evaluation.language import require_tokenizer
from afmc.hardware.defects import ALL, DEFECT, OFF, Defects
from afmc.lower.on_tiles import LoweredGraph, OnTiles
from afmc.lower.prefix import compute_prefix
from afmc.lower.recovered import Recovered

WORDS = "the module returns a string of the first argument when it is called with no value".split()
CHOICES = {"query": "Question: Which word is it?", "choices": ["value", "string", "x y"], "gold": 1}
FORMS: dict[str, dict[str, Any]] = {
    "choices": CHOICES,
    "asked": {"question": "Which?", "choices": ["a", "b"], "answer": 0},
    "continued": {"context": "Return the", "continuation": "value"},
    "last_word": {"text": "The function returns the value"},
    "sums": {"question": "What is 2 + 3?", "answer": "5"},
    "names": {"question": "Which?", "answer": "the first"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    draw = random.Random(1)
    choices, words, sums = [], [], []
    for _ in range(12):
        picked = draw.sample(WORDS, 4)
        choices.append({"query": f"Question: {picked[0]}?", "choices": picked[1:], "gold": 1})
        words.append({"text": " ".join(draw.choices(WORDS, k=draw.randint(4, 9)))})
        a, b = draw.randint(1, 9), draw.randint(1, 9)
        sums.append({"question": f"What is {a} + {b}?", "answer": str(a + b)})
    for name, lines in (("which", choices), ("word", words), ("sums", sums)):
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text)
    return folder


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    return afmc.compile("demo-teacher", "hermes-64", level=2)


@pytest.fixture(scope="module")
def found(model: CompiledModel, data: Path) -> Benchmarks:
    return model.evaluate(["which", "word"], data=data, instances=2)


def test_figures_of_both_sides(found: Benchmarks) -> None:
    assert [(each.task, each.metric) for each in found.digital.scores] == [
        ("which", "acc"), ("which", "acc_norm"), ("word", "perplexity"), ("word", "acc"),
    ]  # fmt: skip
    [under] = found.outcomes
    accuracy, perplexity = under.scores[0], under.scores[2]
    assert len(accuracy.over_chips.values) == 2
    digital = found.digital_of("which", "acc")
    assert digital.questions == 12 and digital.score.standard_error is not None
    assert accuracy.difference is not None
    assert accuracy.difference.mean == pytest.approx(accuracy.over_chips.mean - digital.score.mean)
    assert perplexity.difference is None and perplexity.over_chips.mean > 1
    assert found.data.keys() == {"which", "word"}
    assert Benchmarks.model_validate(found.to_json()) == found


def test_the_digital_side_is_what_lm_eval_gets(
    model: CompiledModel, data: Path, found: Benchmarks
) -> None:
    """With nothing of afmc but the task."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    loaded = afmc.compile("demo-teacher", "ideal-512")
    lm = HFLM(pretrained=loaded.digital, tokenizer=loaded.tokenizer, device="cpu")
    theirs = lm_eval.simple_evaluate(
        lm,
        tasks=[task_config("which", data / "which.jsonl")],
        bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),
    )
    [score, _] = scores_in("which", theirs)
    assert score.value == found.digital_of("which", "acc").score.mean
    exact = loaded.evaluate(["which", "word"], data=data, instances=1)
    assert all(
        each.difference is None or each.difference.mean == each.difference.standard_error == 0
        for each in exact.outcomes[0].scores
    )
    ours = exact.outcomes[0].scores[2].over_chips.mean
    assert ours == pytest.approx(exact.digital_of("word", "perplexity").score.mean, rel=1e-3)


def test_the_head_on_tiles_stays_there(model: CompiledModel, data: Path) -> None:
    """lm-eval ties the weights of what it is given."""
    ids = torch.arange(12)[None]
    before = model.write(instance=1)(ids).logits
    model.evaluate(["word"], data=data, limit=1, instances=1)
    assert torch.equal(model.write(instance=1)(ids).logits, before)
    assert torch.equal(model.analog(ids).logits, model.on_tiles.analog(ids).logits)


def test_chips_do_not_depend_on_global_seeds_or_order(
    model: CompiledModel, data: Path, found: Benchmarks
) -> None:
    torch.manual_seed(77)
    again = model.evaluate(["word", "which"], data=data, instances=2)
    ours = {(each.task, each.metric): each for each in found.outcomes[0].scores}
    assert {(each.task, each.metric): each for each in again.outcomes[0].scores} == ours


def test_an_evaluation_goes_on(
    model: CompiledModel, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval

    ask = lm_eval.simple_evaluate
    asked: list[str] = []

    def counted(lm: Any, **options: Any) -> Any:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(options["tasks"][0]["task"])
        return ask(lm, **options)

    monkeypatch.setattr(lm_eval, "simple_evaluate", counted)
    options: dict[str, Any] = {"data": data, "limit": 4, "keep": tmp_path / "kept"}
    with pytest.raises(KeyboardInterrupt):
        model.evaluate(["which", "word"], instances=2, **options)
    monkeypatch.setattr(lm_eval, "simple_evaluate", ask)
    whole = model.evaluate(["which", "word"], data=data, limit=4, instances=2)

    def more(lm: Any, **options: Any) -> Any:
        asked.append("more")
        return ask(lm, **options)

    monkeypatch.setattr(lm_eval, "simple_evaluate", more)
    resumed = model.evaluate(["which", "word"], instances=2, **options)
    assert asked == ["which", "word", "which", "more", "more", "more"]
    assert resumed.outcomes == whole.outcomes and resumed.digital == whole.digital
    model.evaluate(["which", "word"], instances=2, **options)
    assert len(asked) == 6, "all of it is kept"
    model.evaluate(["which"], instances=1, seed=9, **options)
    assert len(asked) == 7, "another chip, and the same digital model"
    kept = json.loads(
        next((tmp_path / "kept" / "runs" / "digital").glob("which-*.json")).read_text()
    )
    assert {"results", "samples", "configs", "afmc"} <= kept.keys()
    for count, row in enumerate((3, 4), 8):
        defects = Defects(np.array([(0, 0, 0, row, *[ALL] * 3, OFF)], DEFECT), name="one")
        model.evaluate(["which"], instances=1, defects=defects, **options)
        assert len(asked) == count, "other defects of the same name"


def test_text_is_generated_behind_the_prefix() -> None:
    """As by ``afmc run``, in a batch of prompts of different lengths."""
    from afmc.evaluation.benchmarks.harness import OnTilesLM

    there = afmc.compile("demo-teacher", "hermes-64", level=0).on_tiles
    recovered = Recovered(compute_prefix(there.digital, (3, 1)))
    lowered = LoweredGraph(there.loaded, there.program, recovered.prefix)
    on_tiles = OnTiles(there.program, there.target, there.loaded, lowered, recovered)
    on_tiles.write(instance=0)
    lm, tokenizer = OnTilesLM(on_tiles, batch_size=2), require_tokenizer(on_tiles)
    prompts = ["The module returns", "It is called when the first argument of the function is"]
    ids, mask = lm.tok_batch_encode(prompts)
    made = lm._model_generate(ids, ids.shape[1] + 6, [], attention_mask=mask)
    for prompt, row in zip(prompts, made[:, ids.shape[1] :], strict=True):
        text = tokenizer.decode(row, skip_special_tokens=True)
        assert text == generate(on_tiles, prompt, max_tokens=6)
    assert lm.max_length == 256 - 2


def test_the_token_in_front_stands_once() -> None:
    """Where a context is empty, lm-eval puts the begin token there, with which a prefix ends."""
    from afmc.evaluation.benchmarks.harness import OnTilesLM

    there = afmc.compile("demo-teacher", "ideal-512").on_tiles
    recovered = Recovered(compute_prefix(there.digital, (3, 1)))
    lowered = LoweredGraph(there.loaded, there.program, recovered.prefix)
    on_tiles = OnTiles(there.program, there.target, there.loaded, lowered, recovered)
    on_tiles.write()
    lm, digital = OnTilesLM(on_tiles), there.digital
    with torch.inference_mode():
        found = lm._model_call(torch.tensor([[1, 7, 8], [5, 6, 7], [1, 9, 4]]))
        for row, ids in enumerate(([3, 1, 7, 8], [3, 1, 5, 6, 7], [3, 1, 9, 4])):
            expected = digital(input_ids=torch.tensor([ids])).logits[0, -3:]
            torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-4)
        alone = lm._model_call(torch.tensor([[1]]))
        torch.testing.assert_close(alone[0], found[0, :1])


def test_a_generated_answer_is_marked(model: CompiledModel, data: Path) -> None:
    found = model.evaluate(["sums"], data=data, limit=3, instances=1)
    [score] = found.digital.scores
    assert (score.metric, score.questions) == ("exact_match (last)", 3)
    assert 0 <= score.score.mean <= 1


@pytest.mark.parametrize(
    ("answers", "said", "right"),
    [
        (["He adds.\n#### 7"], " 3 and 4 make 7.", True),
        (["1000"], "It is 1,000, because.", True),
        (["10"], "5-10", True),
        (["-3"], "It is -3", True),
        (["10"], "It is 10.5", False),
        (["Paris", "7"], "no\nParis", True),
        (["Paris", "7"], "Paris\nno", False),
    ],
)
def test_answers_are_reduced_alike(
    tmp_path: Path, answers: list[str], said: str, right: bool
) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.tasks import TaskManager

    lines = [{"question": "How many?", "answer": each} for each in answers]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    config = task_config("a", tmp_path / "a.jsonl")
    task = TaskManager(include_defaults=False).load([config])["tasks"]["a"]
    instance = Instance("generate_until", lines[0], ("", {}), 0)
    instance.resps = [said]
    for each in task._filters:
        each.apply([instance])
    [made] = instance.filtered_resps.values()
    assert task.process_results(lines[0], [made])["exact_match"] == float(right)


@pytest.mark.parametrize("form", FORMS)
def test_lines_say_what_is_asked(tmp_path: Path, form: str) -> None:
    from lm_eval.tasks import TaskManager

    file = tmp_path / f"{form}.jsonl"
    file.write_text(f"{json.dumps(FORMS[form])}\n")
    config = task_config(form, file)
    loaded = TaskManager(include_defaults=False).load([config])
    task = loaded["tasks"][form]
    document = FORMS[form]
    text, target = task.doc_to_text(document), task.doc_to_target(document)
    asked = {
        "choices": ("Question: Which word is it?\nAnswer:", 1),
        "asked": ("Question: Which?\nAnswer:", 0),
        "continued": ("Return the", " value"),
        "last_word": ("The function returns the", " value"),
        "sums": ("Question: What is 2 + 3?\nAnswer:", "5"),
        "names": ("Question: Which?\nAnswer:", "the first"),
    }[form]
    assert (text, target) == asked


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("", "has no line"),
        ("{", "line 1 is no JSON"),
        ("[1]", "line 1 is no JSON object"),
        ('{"a": 1}', "line 1 has a: a task needs query, choices and gold"),
        ('{"text": "a b"}\n{"tex": "a"}', "line 2 has no text, which the first line has"),
        ("\xff", "is not UTF-8"),
        ('{"text": "word "}', "line 1: the text has no word before its last one"),
        (
            '{"query": "a", "choices": ["b", "c"], "gold": "A"}',
            "line 1: gold must be the number of a choice, from 0, but is 'A'",
        ),
        ('{"query": "a", "choices": ["b", "c"], "gold": 2}', "from 0, but is 2"),
    ],
)
def test_lines_that_say_nothing(tmp_path: Path, lines: str, sentence: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(lines.encode("latin-1"))
    with pytest.raises(OptionError, match=sentence):
        task_config("a", file)


@pytest.mark.parametrize(
    ("tasks", "folder", "sentence"),
    [
        ([""], False, "--tasks names no task"),
        (["a:b"], False, "--tasks a:b: a task is a name"),
        (["a", "a:2"], False, "--tasks names a twice"),
        (["which:5"], True, "--tasks which:5: local data have no examples"),
        (["whichever"], True, "has no file whichever.jsonl: there are sums, which and word"),
    ],
)
def test_tasks_that_cannot_be(data: Path, tasks: list[str], folder: bool, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        read_tasks(tasks, data if folder else None)


def test_names_are_those_of_lm_eval() -> None:
    import lm_eval

    root = Path(lm_eval.__file__).parent / "tasks"
    files = {file.stem for file in root.rglob("*.yaml")} | {"mmlu"}
    group = read_tasks(["afm-paper"])
    assert [each.text for each in group] == list(GROUPS["afm-paper"])
    known = [each.name for each in group]
    with pytest.raises(OptionError, match=r"lm-eval has no such task\. Did you mean 'boolq'\?"):
        check_names(read_tasks(["bolq"]), known)
    assert {"arc_easy", "hellaswag", "ifeval"} <= files


def _of(task: str, *right: float) -> dict[str, Any]:
    """A run of lm-eval with one task, in short."""
    return {
        "results": {task: {"alias": task, "acc,none": sum(right) / len(right)}},
        "samples": {task: [{"filter": "none", "acc": each} for each in right]},
        "n-shot": {task: 5},
        "higher_is_better": {task: {"acc": True}},
    }


def test_groups_are_counted_over_all_questions_and_tags_task_by_task() -> None:
    one, other = _of("one", 1.0, 0.0), _of("other", 1.0, 1.0, 1.0, 1.0)
    both = {key: one[key] | other[key] for key in one}
    assert [(s.task, s.value) for s in scores_in("tag", both)] == [("one", 0.5), ("other", 1.0)]
    both["results"]["whole"] = {"acc,none": 5 / 6}
    [score] = scores_in("whole", {**both, "group_subtasks": {"whole": ["one", "other"]}})
    assert (score.questions, score.shots) == (6, 5) and score.value == pytest.approx(5 / 6)
    assert sorted(score.by_question) == [0.0, *[1.0] * 5]
    both["results"]["whole"] = {"acc,none": 0.75}  # a mean of the tasks' means
    [score] = scores_in("whole", {**both, "group_subtasks": {"whole": ["one", "other"]}})
    assert score.by_question == () and score.value == 0.75


def test_logits_are_reused_only_where_reads_draw_no_noise(model: CompiledModel) -> None:
    from afmc.evaluation.benchmarks.harness import OnTilesLM

    noisy = model.on({"device.read_noise": "each"})
    assert noisy.target.is_random_at_reads
    assert not OnTilesLM(noisy.on_tiles).logits_cache
    assert OnTilesLM(noisy.on_tiles, digital=True).logits_cache
    assert OnTilesLM(model.without_noise().on_tiles).logits_cache


def test_lm_evals_own_command_knows_afmc(
    model: CompiledModel, data: Path, tmp_path: Path, found: Benchmarks
) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    from afmc.cli import lm_eval as registered

    model.save(tmp_path / "compiled")
    theirs = lm_eval.simple_evaluate(
        "afmc",
        model_args={"dir": str(tmp_path / "compiled"), "instance": 1},
        tasks=[task_config("which", data / "which.jsonl")],
        bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),
    )
    [score, _] = scores_in("which", theirs)
    assert score.value == found.outcomes[0].scores[0].over_chips.values[1]
    with pytest.raises(OptionError, match="batch_size=auto: a batch that is found by trying"):
        registered.CompiledLM(dir=str(tmp_path / "compiled"), batch_size="auto")
    with pytest.raises(OptionError, match="--model_args chip: afmc takes dir, instance, "):
        registered.CompiledLM(dir=str(tmp_path / "compiled"), chip=3)
    with pytest.raises(OptionError, match="--model_args dir=FOLDER"):
        registered.CompiledLM()


def test_metrics_that_are_no_shares() -> None:
    """Some are negative, some go up to 100, and of one question nothing is known of the error."""
    runs = [replace(_score(*values), metric="m") for values in ((-10.0, 40.0), (-50.0, 20.0))]
    found = run._analog(runs[0], [runs[1], runs[0], runs[1]])
    assert found.over_chips.mean == pytest.approx((-15 + 15 - 15) / 3)
    assert found.over_chips.std == pytest.approx(300**0.5) and not runs[0].is_share
    assert found.over_chips.interval_95 is None and found.difference is not None
    row = table._row(runs[0].of_digital, found, 3)
    assert row[3:] == ("15 ± 25", "-5 ± 32", "17.3", "-20.000 ± 6.667")
    one = run._analog(_score(1.0), [_score(0.0)])
    assert one.difference is not None and one.difference.standard_error is None
    assert table._row(_score(1.0).of_digital, one, 1)[3:] == ("100.0 %", "0.0 %", "", "-100.0")


def _score(*values: float) -> run.Score:
    return run.Score("t", "m", sum(values) / len(values), True, 0, len(values), values)


def test_a_group_without_a_figure_and_a_task_by_two_names() -> None:
    both = {key: value | _of("other", 1.0)[key] for key, value in _of("one", 0.0).items()}
    both["results"]["whole"] = {"alias": "whole"}
    found = list(scores_in("whole", {**both, "group_subtasks": {"whole": ["one", "other"]}}))
    assert [each.task for each in found] == ["one", "other"]
    with pytest.raises(OptionError, match="--tasks asks for one twice, by different names"):
        run.check_scores([*found, found[0]])


def test_without_lm_eval_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"the package lm_eval: run .pip install '.*\[eval\]'"):
        run.require_harness()


def test_the_command_line(model: CompiledModel, data: Path, tmp_path: Path) -> None:
    model.save(tmp_path / "compiled")
    out = tmp_path / "results"
    ask = (
        tmp_path,
        "eval",
        tmp_path / "compiled",
        "--tasks",
        "which",
        "--data",
        data,
        "--limit",
        "4",
    )
    assert command(*ask, "--instances", "2", "-o", out).returncode == 0
    kept = json.loads((out / "results.json").read_text())
    shown = json.loads(command(*ask, "--instances", "2", "-o", out, "--json").stdout)
    assert shown["digital"] == kept["digital"] and shown["conditions"] == kept["conditions"]
    schema = json.loads(command(tmp_path, "eval", "--schema").stdout)
    Draft202012Validator(schema).validate(shown)
    again = command(*ask, "--instances", "2", "-o", out).stdout
    assert "which" in again and "acc_norm" in again and "std of chips" in again
    page = command(tmp_path, "report", "compiled", "--validation", out / "results.json")
    assert page.returncode == 0
    html = (tmp_path / "compiled" / "report.html").read_text()
    assert "std of chips" in html and "<td>which</td><td>acc_norm</td>" in html
    both = (tmp_path, "compare", "compiled", "other", "--validation")
    afmc.compile("demo-teacher", "hermes-64", level=0).save(tmp_path / "other")
    compared = command(*both, f"compiled={out / 'results.json'}", "--json")
    rows = [row["name"] for row in json.loads(compared.stdout)["accuracy"]]
    assert "which, acc of 4 questions: digital" in rows and len(rows) == 4
    damaged = json.loads((out / "results.json").read_text())
    damaged["digital"]["scores"].pop()
    (tmp_path / "damaged.json").write_text(json.dumps(damaged))
    refused = command(tmp_path, "report", "compiled", "--validation", "damaged.json")
    assert refused.returncode == 2 and "has no digital acc_norm of which" in refused.stderr
    wrong = command(*ask[:3], "--tasks", "nothing", "--data", data)
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: --data")
