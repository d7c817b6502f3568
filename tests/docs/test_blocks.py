"""Every code block of README.md and docs/ runs, in order, and prints what its page shows.

``pytest tests/docs --update-golden`` writes what was printed into the pages. What blocks may look
like is in ``tests/support/doc_blocks.py``.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import doc_blocks
import pytest
from doc_blocks import ROOT, Block, Page, blocks_of
from terminal import ENVIRONMENT, Terminal

import afmc

NOT_RUN = Path(__file__).with_name("not_run.txt")
PAGES = [
    str(file.relative_to(ROOT))
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if file.exists()
]


def _blocks(page: str) -> list[Block]:
    return blocks_of((ROOT / page).read_text("utf-8"))


WITH_BLOCKS = [page for page in PAGES if any(not block.real_model for block in _blocks(page))]
WITH_THE_MODEL = [page for page in PAGES if any(block.real_model for block in _blocks(page))]


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return Terminal(folder)


def _check(page: str, terminal: Terminal, update: bool, real_model: bool) -> None:
    file = ROOT / page
    run = Page(Path(page), file.read_text("utf-8"), real_model, update)
    run.run(terminal)
    if update and run.updated() != run.text:
        file.write_text(run.updated(), encoding="utf-8")
    assert not run.problems, "\n" + "\n\n".join(run.problems)


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_blocks_of_a_page(page: str, terminal: Terminal, request: pytest.FixtureRequest) -> None:
    _check(page, terminal, request.config.getoption("--update-golden"), real_model=False)


@pytest.mark.real_model
@pytest.mark.parametrize("page", WITH_THE_MODEL)
@pytest.mark.usefixtures("smollm2")  # skips, loudly, where the model is not installed
def test_blocks_of_a_page_with_the_real_model(
    page: str, terminal: Terminal, request: pytest.FixtureRequest
) -> None:
    _check(page, terminal, request.config.getoption("--update-golden"), real_model=True)


def test_blocks_that_do_not_run_are_known(request: pytest.FixtureRequest) -> None:
    """One line for each, with its reason: a new one is seen in the difference of this file."""
    found = [
        f"{page}: {block.not_run}"
        for page in sorted(PAGES)
        for block in _blocks(page)
        if block.not_run
    ]
    print(f"{len(found)} blocks do not run:", *found, sep="\n  ")
    if request.config.getoption("--update-golden"):
        NOT_RUN.write_text("".join(f"{line}\n" for line in found), encoding="utf-8")
    assert found == NOT_RUN.read_text("utf-8").splitlines()


def _modules() -> list[str]:
    found = pkgutil.walk_packages(afmc.__path__, "afmc.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def test_examples_in_docstrings_give_what_they_say() -> None:
    """Examples of the modules whose text has any: fenced blocks are for pages, docstrings have
    ``>>>``."""
    tried = 0
    for name in _modules():
        found = importlib.util.find_spec(name)
        assert found is not None and found.origin is not None
        text = Path(found.origin).read_text("utf-8")
        assert "```" not in text or name == "afmc.export.markdown", f"{name}: a fenced block"
        if ">>> " in text:
            failed, count = doctest.testmod(importlib.import_module(name))
            assert not failed and count
            tried += count
    print(f"{tried} examples in docstrings")


PLAIN = """# A page

```console
$ echo one; echo two 2 s
one
two ... s
$ printf 'a\\nb\\nc\\n'
a
...
```

```python
x = 1
print(x)
```

```text
1
```

<!-- not run: for a reason -->
```bash
false
```
"""


def _run(text: str, terminal: Terminal, update: bool = False) -> Page:
    page = Page(Path("page.md"), text, real_model=False, update=update)
    page.run(terminal)
    return page


def test_what_is_printed_is_compared(terminal: Terminal) -> None:
    assert not _run(PLAIN, terminal).problems


@pytest.mark.parametrize(
    ("shown", "instead", "said"),
    [
        ("two ... s", "two ... h", "prints something else"),
        ("a\n...", "b\n...", "prints something else"),
        ("\n1\n", "\n2\n", "prints something else"),
        ("```text\n1\n```\n", "", "prints something else"),
        ("echo one;", "echo one; exit 3;", "exits with 3"),
        ("<!-- not run: for a reason -->\n", "", "a bash block"),
    ],
)
def test_what_differs_is_said(shown: str, instead: str, said: str, terminal: Terminal) -> None:
    changed = PLAIN.replace(shown, instead)
    assert changed != PLAIN
    problems = _run(changed, terminal).problems
    assert any(said in problem for problem in problems), problems


def test_an_error_that_is_shown_is_no_failure(terminal: Terminal) -> None:
    wrong = "```console\n$ afmc inspect nowhere\n```\n"
    assert len(_run(wrong, terminal).problems) == 2
    updated = _run(wrong, terminal, update=True).updated()
    assert "error: " in updated and not _run(updated, terminal).problems


def test_updating_keeps_dots_that_still_fit() -> None:
    shown = ["one ...", "...", "last ...", "gone"]
    printed = ["one 1", "two", "three", "last 4", "new"]
    assert doc_blocks.merged(shown, printed) == ["one ...", "...", "last ...", "new"]
    assert doc_blocks.merged([], ["compiled in 3.2 s, at most 1,590 MB (measured)"]) == [
        "compiled in ... s, at most ... MB (measured)"
    ]
    assert doc_blocks.matches(doc_blocks.merged(shown, printed), printed)


def test_updating_a_page_makes_it_right(terminal: Terminal) -> None:
    wrong = PLAIN.replace("two ... s", "three").replace("```text\n1\n```\n", "")
    updated = _run(wrong, terminal, update=True).updated()
    assert not _run(updated, terminal).problems
    assert "\n1\n" in updated and "a\n...\n" in updated


def test_a_titled_block_is_a_file(terminal: Terminal) -> None:
    page = (
        '```python title="say.py"\nprint("hello")\n```\n\n```console\n$ python say.py\nhello\n```\n'
    )
    assert not _run(page, terminal).problems
    broken = page.replace('print("hello")', "print(")
    assert any("no python" in problem for problem in _run(broken, terminal).problems)


def test_commands_take_variables_and_write_files(terminal: Terminal) -> None:
    page = """```console
$ PYTHONPATH=. afmc --version > version.txt
$ cat version.txt
afmc ...
$ afmc --version | wc -l
1
$ python -c "import afmc; print(afmc.__version__)"
...
```
"""
    assert not _run(page, terminal).problems
    wrong = page.replace("afmc ...", "nothing")
    assert len(_run(wrong, terminal).problems) == 1
