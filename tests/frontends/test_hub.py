"""Models of the hub: its cache, its switches, and whose code is run. Nothing is downloaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from models import tiny_model, tiny_tokenizer
from transformers.utils import logging

import afmc
from afmc.errors import ModelError, OptionError
from afmc.frontends.door import Source
from afmc.frontends.find import resolve
from afmc.frontends.huggingface import hub
from afmc.frontends.huggingface.load import load

AFMC = Path(sys.executable).with_name("afmc")
NAME = "someone/tiny"
COMMITS = {"main": "a" * 40, "v1": "b" * 40}


def cached(home: Path) -> Path:
    """The cache as huggingface_hub leaves it, with a model of two revisions."""
    logging.disable_progress_bar()
    place = home / "hub" / "models--someone--tiny"
    for scale, (revision, commit) in enumerate(COMMITS.items(), 1):
        module: Any = tiny_model("llama")
        with torch.no_grad():
            module.lm_head.weight.mul_(scale)
        module.save_pretrained(place / "snapshots" / commit)
        tiny_tokenizer().save_pretrained(place / "snapshots" / commit)
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / revision).write_text(commit)
    return home


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache with `NAME` in it, and no way to the hub."""
    home = cached(tmp_path / "home")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    return home


def weights(module: torch.nn.Module) -> torch.Tensor:
    return module.get_parameter("lm_head.weight")


def test_revisions_of_the_cache(offline: Path) -> None:
    main, first = (load(resolve(NAME), revision=each) for each in (None, "v1"))
    assert main.folder is not None and main.folder.name == COMMITS["main"]
    assert main.tokenizer is not None
    assert torch.equal(2 * weights(main.module), weights(first.module))
    by_commit = load(resolve(NAME), revision=COMMITS["v1"])
    assert by_commit.sha256 == first.sha256 != main.sha256


def test_hf_home_from_the_command_line(tmp_path: Path) -> None:
    home = cached(tmp_path / "home")
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        environment.pop(variable, None)
    ran = subprocess.run(
        [AFMC, "compile", "-O0", NAME, *"--revision v1 --target ideal-512 -o out --json".split()],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["model"] == NAME
    assert (tmp_path / "out" / "program.json").is_file()


def test_what_the_cache_has_not(offline: Path) -> None:
    cache = offline / "hub"
    for name, revision, at, hint in (
        ("someone/other", None, "", ""),
        ("smollm2-135", None, "", " Did you mean 'smollm2-135m'?"),
        (NAME, "v2", " at revision 'v2'", ""),
    ):
        with pytest.raises(ModelError) as error:
            load(Source(name, "huggingface"), revision=revision)
        assert str(error.value) == (
            f"{name} is neither a file nor a folder here nor a known name, and it is not in the "
            f"hub's cache {cache}{at}, while HF_HUB_OFFLINE forbids to ask the hub.{hint}"
        )


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            GatedRepoError,
            "someone/tiny is gated: ask for access on its page on the hub, and set HF_TOKEN to a "
            "token that has it.",
        ),
        (
            RevisionNotFoundError,
            "someone/tiny has no revision 'v2' on the hub: give a branch, tag or commit.",
        ),
        (
            RepositoryNotFoundError,
            "someone/tiny is neither a file nor a folder here nor a known name, and the hub has no "
            "such model, or none that HF_TOKEN opens.",
        ),
        (
            HfHubHTTPError,
            "someone/tiny is neither a file nor a folder here nor a known name, and the hub could "
            "not be reached or has no such model at revision 'v2' (it is tired).",
        ),
    ],
)
def test_what_the_hub_refuses(
    kind: type[HfHubHTTPError], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    response: Any = SimpleNamespace(headers={}, request=None)

    def refuse(name: str, **options: object) -> str:
        raise kind("it is tired.", response=response)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(ModelError) as error:
        load(Source(NAME, "huggingface"), revision="v2")
    assert str(error.value) == sentence


def test_a_revision_of_what_is_not_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module: Any = tiny_model("llama")
    module.config.save_pretrained("m")
    for given, place in (
        ("demo", "demo is on this machine"),
        (module, "LlamaForCausalLM is in memory"),
    ):
        with pytest.raises(OptionError) as error:
            afmc.compile(given, revision="main", level=0)
        assert str(error.value) == (
            f"--revision is for a model on the hub, but {place}: leave it out."
        )
    with pytest.raises(OptionError, match=r"^--revision is for a model on the hub, but m is on"):
        afmc.compile("m", revision="main", shapes_only=True, level=0)


CONFIGURATION = """
from pathlib import Path
from transformers import LlamaConfig
Path({marker!r}).write_text("ran")

class OwnConfig(LlamaConfig):
    model_type = "own_kind"
"""
MODEL = """
from transformers import LlamaForCausalLM
from .configuration_own import OwnConfig

class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig

    def forward(self, *args, **options):
        output = super().forward(*args, **options)
        output.logits = 2 * output.logits
        return output
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with code, which says that it ran in the file `ran` beside it."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "code")
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    logging.disable_progress_bar()
    folder = tmp_path / "own"
    module: Any = tiny_model("llama")
    module.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own_kind",
        "architectures": ["OwnForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_own.OwnConfig",
            "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    code = textwrap.dedent(CONFIGURATION).format(marker=str(tmp_path / "ran"))
    (folder / "configuration_own.py").write_text(code)
    (folder / "modeling_own.py").write_text(textwrap.dedent(MODEL))
    return folder


@pytest.mark.parametrize("shapes_only", [False, True])
def test_code_is_not_run_unless_it_is_trusted(own: Path, shapes_only: bool) -> None:
    with pytest.raises(ModelError) as error:
        afmc.compile(own, "ideal-512", shapes_only=shapes_only, level=0)
    assert str(error.value) == (
        f"{own} brings its own code (auto_map in config.json): pass --trust-remote-code"
        f" (trust_remote_code=True) if you trust it."
    )
    assert not (own.parent / "ran").exists()


def test_trusted_code_is_run(own: Path) -> None:
    model: Any = afmc.compile(own, "ideal-512", trust_remote_code=True, level=0)
    assert (own.parent / "ran").exists()
    assert type(model.digital).__name__ == "OwnForCausalLM"
    ids = torch.arange(3, 20)[None]
    with torch.inference_mode():
        once = tiny_model("llama")(input_ids=ids).logits
        torch.testing.assert_close(model.digital(input_ids=ids).logits, 2 * once)
        torch.testing.assert_close(model.write()(input_ids=ids).logits, 2 * once)
    kept = model.save(own.parent / "out")
    with pytest.raises(ModelError, match="brings its own code"):
        afmc.load(kept)
    again: Any = afmc.load(kept, trust_remote_code=True)
    with torch.inference_mode():
        torch.testing.assert_close(again.digital(input_ids=ids).logits, 2 * once)
