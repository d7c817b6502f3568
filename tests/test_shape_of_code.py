"""Functions are short and take few parameters; what does not is listed with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES, PARAMETERS = 60, 7

COMMAND = "the options of a command"
LONG = {
    "afmc/cli/compile.py:compile": COMMAND,
    "afmc/cli/costs.py:costs": COMMAND,
    "afmc/cli/eval.py:eval": COMMAND,
    "afmc/cli/export.py:export": COMMAND,
    "afmc/cli/validate.py:validate": COMMAND,
    "afmc/evaluation/perplexity.py:validate": "one measurement, from its checks to its result",
    "afmc/frontends/huggingface/load.py:load": "every kind of folder in the order of its checks",
    "afmc/report/matrices.py:list_matrices": "a column of the table after the other",
    "afmc/report/page.py:render": "a section of the page after the other",
    "afmc/simulator/tiles.py:program": "the way of a block through every effect, in order",
}
MANY = {
    "afmc/cli/compare.py:compare": COMMAND,
    "afmc/cli/compile.py:compile": COMMAND,
    "afmc/cli/costs.py:costs": COMMAND,
    "afmc/cli/eval.py:eval": COMMAND,
    "afmc/cli/export.py:export": COMMAND,
    "afmc/cli/lm_eval.py:__init__": "the model arguments of lm-eval's command",
    "afmc/cli/run.py:run": COMMAND,
    "afmc/cli/validate.py:validate": COMMAND,
    "afmc/compiled_model.py:__init__": "what a compile leaves behind, each for a reason of its own",
    "afmc/compiler/compile.py:compile": "the options of the command, in Python",
    "afmc/evaluation/perplexity.py:validate": "on what, on how many chips, and what besides",
    "afmc/frontends/onnx/structure.py:_matrix": "the facts that make a Matrix",
    "afmc/simulator/instance.py:write_instance": "an instance, when it is read, what corrects it",
    "afmc/simulator/tiles.py:program": "what a tile is programmed with: weight, place, chip",
    "afmc/simulator/tiles.py:set_arrays": "the tensors of both polarities of a block",
}


def functions() -> Iterator[tuple[str, int, int]]:
    """Name, lines and parameters of every function."""
    for folder in ("afmc", "passes", "targets"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            if name.startswith(("afmc/passes/", "afmc/targets/")):
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    given = node.args
                    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
                    count = len([each for each in every if each.arg not in ("self", "cls")])
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    yield f"{name}:{node.name}", lines, count


def test_functions_are_short_but_for_those_with_a_reason() -> None:
    assert {name for name, lines, _ in functions() if lines > LINES} == set(LONG)


def test_functions_take_few_parameters_but_for_those_with_a_reason() -> None:
    assert {name for name, _, count in functions() if count > PARAMETERS} == set(MANY)


def test_the_package_has_few_files_of_its_own() -> None:
    loose = sorted(path.name for path in (ROOT / "afmc").glob("*.py"))
    assert loose == ["__init__.py", "__main__.py", "compiled_model.py", "errors.py", "fit.py"]
