"""Programs in .pt2 files: what they compute is read, what they would run is not."""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from graphs import digits, images
from torch import nn
from torch.export import Dim

from afmc.errors import ModelError
from afmc.frontends.programs.modules import from_file

Change = Callable[[Any], None]


class Attention(nn.Module):
    """Symbolic sizes, lists of tensors, types, a tied weight, integers as input."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 12, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        x = self.table(tokens)
        parts = self.norm(x + self.attention(x, x, x)[0]).chunk(2, dim=-1)
        x = torch.cat(parts[::-1], dim=-1) * scale[:, None, None].to(torch.float32)
        return self.head(x.reshape(x.shape[0] * x.shape[1], 8)).view(x.shape[0], -1, 12)


def saved(module: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> Path:
    sizes = tuple({0: Dim.AUTO} for _ in inputs)
    with torch.no_grad():
        torch.export.save(torch.export.export(module, inputs, dynamic_shapes=sizes), path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(digits(), (images(2),), tmp_path_factory.mktemp("pt2") / "digits.pt2")


def changed(file: Path, folder: Path, part: str, change: Change) -> Path:
    """The archive with the JSON of one part changed."""
    path = folder / "changed.pt2"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if part in name and name.endswith(".json"):
                value = json.loads(content)
                change(value)
                content = json.dumps(value).encode()
            new.writestr(name, content)
    return path


def test_computes_what_the_module_does(file: Path) -> None:
    model = from_file(file, "digits.pt2")
    with torch.no_grad():
        torch.testing.assert_close(model.module(images(7)), digits()(images(7)))


def test_sizes_lists_types_and_ties(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Attention().eval()
    inputs = torch.arange(10).view(2, 5), torch.tensor([1.0, 2.0], dtype=torch.float64)
    model = from_file(saved(module, inputs, tmp_path / "a.pt2"), "a.pt2")
    assert model.graph is not None
    assert [each.name for each in model.graph.inputs] == ["tokens", "scale"]
    found = model.graph.structure(None)
    assert found.matrices[-1].tied_to is not None
    more = torch.arange(15).view(3, 5) % 12, torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model.module(*more), module(*more))


def test_text_of_the_archive_is_not_evaluated(file: Path, tmp_path: Path) -> None:
    """With this torch.export.load makes the file."""
    made = tmp_path / "made"
    attack = f"__import__('pathlib').Path({str(made)!r}).touch()"

    def change(value: Any) -> None:
        sizes = value["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = attack
        value["guards_code"] = [attack]

    from_file(changed(file, tmp_path, "/models/", change), "changed.pt2")
    assert not made.exists()


def first_node(key: str, new: Any) -> Change:
    def change(value: Any) -> None:
        value["graph_module"]["graph"]["nodes"][0][key] = new

    return change


def weight(key: str, new: Any) -> Change:
    def change(value: Any) -> None:
        value["config"]["first.weight"][key] = new

    return change


def meta(key: str, new: Any) -> Change:
    def change(value: Any) -> None:
        value["config"]["first.weight"]["tensor_meta"][key] = new

    return change


def renamed(new: str) -> Change:
    def change(value: Any) -> None:
        specs = value["graph_module"]["signature"]["input_specs"]
        specs[0]["parameter"]["parameter_name"] = new

    return change


@pytest.mark.parametrize(
    ("part", "change", "sentence"),
    [
        *(
            (
                "/models/",
                first_node("target", target),
                f"it uses {target!r}, which is not among the operators that are known.",
            )
            for target in (
                "torch.hub.load",
                "os.system",
                "_operator.attrgetter",
                "torch.ops.aten.from_file.default",
                "torch.ops.mine.linear.default",
                "torch.ops.aten.conv2d.default.__call__",
            )
        ),
        (
            "/models/",
            first_node("inputs", [{"name": "x", "kind": 1, "arg": {"as_custom_obj": {}}}]),
            "cannot be exported by torch.export: an operator is given something of the kind"
            " as_custom_obj.",
        ),
        ("weights", weight("use_pickle", True), "is not read: first.weight is pickled."),
        ("weights", weight("path_name", "../../../etc/passwd"), "or is damaged."),
        ("weights", meta("storage_offset", {"as_int": 9**9}), "or is damaged."),
        (
            "weights",
            meta("sizes", [{"as_int": 9**9}] * 4),
            "is not read: first.weight has more values than are stored.",
        ),
        ("weights", meta("dtype", 99), "is not read: it has tensors of a type that is not known."),
        ("/models/", lambda value: value.pop("graph_module"), "or is damaged."),
    ],
)
def test_refused(part: str, change: Change, sentence: str, file: Path, tmp_path: Path) -> None:
    path = changed(file, tmp_path, part, change)
    with pytest.raises(ModelError) as error:
        from_file(path, "changed.pt2")
    assert str(error.value).endswith(sentence) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["forward", "a.training", "x;import os", "__class__.x", ""])
def test_names_that_mean_something_are_refused(name: str, file: Path, tmp_path: Path) -> None:
    path = changed(file, tmp_path, "/models/", renamed(name))

    def change(value: Any) -> None:
        value["config"][name] = copy.deepcopy(value["config"]["first.weight"])

    (tmp_path / "again").mkdir()
    path = changed(path, tmp_path / "again", "weights", change)
    with pytest.raises(ModelError) as error:
        from_file(path, "changed.pt2")
    assert str(error.value) == f"{path} is not read: it has a tensor of the name {name!r}."


def test_files_that_are_something_else(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pt2"
    other.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(ModelError, match=r"or is damaged\."):
        from_file(other, "other.pt2")
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(ModelError, match="it holds 0 programs instead of one"):
        from_file(other, "other.pt2")
    with zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", "b" * 1000)
    with pytest.raises(ModelError, match="it is compressed"):
        from_file(other, "other.pt2")
