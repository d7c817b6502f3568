"""Modules that AIHWKIT-Lightning converted compile in memory as they do when saved and read."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from analog_checkpoints import configuration, converted, save
from models import tiny_tokenizer
from torch import Tensor, nn

import afmc
from afmc.compiled_model import CompiledModel
from afmc.errors import ModelError
from afmc.frontends.in_memory import from_module

pytest.importorskip("aihwkit_lightning", reason="pip install aihwkit-lightning==2.1.0")

AFM = "afm-512-projected"
TOKENS = torch.randint(0, 60, (2, 16), generator=torch.Generator().manual_seed(3))
CUT = {
    "target.crossbar.rows": 20,
    "target.crossbar.columns": 128,
    "split.style": "balanced",
}
BY_COLUMN, LIMITS = (
    {"mapping__max_input_size": 20, "clip__type": clip, "clip__sigma": 2.5}
    for clip in ("LayerGaussianPerChannel", "LearnablePerChannel")
)
ROUNDED = {
    **LIMITS,
    "modifier__quantization_type": "DiscretizePerChannel",
    "modifier__res": 14,
}


def trained_for(said: dict[str, Any]) -> Any:
    from aihwkit_lightning.simulator.configs import WeightClipType, WeightQuantizationType

    kinds = {"clip__type": WeightClipType, "modifier__quantization_type": WeightQuantizationType}
    return configuration(
        **{key: kinds[key](each) if key in kinds else each for key, each in said.items()}
    )


def on_tiles(model: Any) -> CompiledModel:
    return afmc.compile(
        model, AFM, settings=CUT, tokenizer=tiny_tokenizer(), level=0
    ).without_noise()


def logits(module: Any) -> Tensor:
    with torch.inference_mode():
        return module(input_ids=TOKENS).logits


def program_in(folder: Path) -> Any:
    """But for where the model is from."""
    found = json.loads((folder / "program.json").read_text())
    for part, keys in (("model", ("name", "sha256")), ("summary", ("model", "model_sha256"))):
        for key in keys:
            del found[part][key]
    return found


def assert_equal_but_for_ties(ours: Tensor, theirs: Tensor) -> None:
    """A sum on the boundary between two codes may be rounded to the other one."""
    assert ((ours - theirs).abs() > 1e-5).double().mean() < 2e-3
    assert (ours - theirs).abs().max() < 0.05


@pytest.mark.parametrize(
    ("architecture", "said"),
    [("llama", BY_COLUMN), ("phi3", LIMITS), ("llama", ROUNDED)],
    ids=["clip", "limits", "rounded"],
)
def test_as_if_saved_and_read(tmp_path: Path, architecture: str, said: dict[str, Any]) -> None:
    config = trained_for(said)
    theirs: Any = converted(config, architecture)
    model = on_tiles(theirs)
    read = on_tiles(save(theirs, config, tmp_path / "m"))
    ours, theirs_read = model.save(tmp_path / "out"), read.save(tmp_path / "read")
    assert program_in(ours) == program_in(theirs_read)
    assert (ours / "blocks.npz").read_bytes() == (theirs_read / "blocks.npz").read_bytes()
    assert type(model.digital) is type(read.digital)
    assert model.program.training is not None and model.program.training.max_rows == 20
    assert torch.equal(logits(model.write()), logits(read.write()))
    if said is not ROUNDED:  # sums of few codes are on boundaries too often
        assert_equal_but_for_ties(logits(model.write()), logits(theirs))
    assert (logits(model.digital) - logits(theirs)).abs().max() > 0.05  # converters matter here
    again = afmc.load(ours).without_noise()
    assert torch.equal(logits(again.write()), logits(model.write()))


def test_the_module_itself_is_left_alone() -> None:
    theirs: Any = converted(trained_for(ROUNDED))
    before, kinds = copy.deepcopy(theirs.state_dict()), [type(each) for each in theirs.modules()]
    expected = logits(theirs)
    on_tiles(theirs)
    assert [type(each) for each in theirs.modules()] == kinds
    assert all(torch.equal(each, before[key]) for key, each in theirs.state_dict().items())
    assert theirs.config.tie_word_embeddings
    assert torch.equal(logits(theirs), expected)


def test_half_precision() -> None:
    theirs: Any = converted(trained_for(BY_COLUMN)).half()
    assert_equal_but_for_ties(logits(on_tiles(theirs).write()), logits(theirs.float()))


def test_a_head_that_was_not_converted_stays_tied() -> None:
    from aihwkit_lightning.nn.conversion import convert_to_analog
    from models import tiny_model

    config = trained_for(ROUNDED)
    theirs: Any = convert_to_analog(tiny_model("llama"), config, exclude_modules=["lm_head"]).eval()
    model: Any = on_tiles(theirs)
    assert model.digital.lm_head.weight is model.digital.model.embed_tokens.weight
    assert torch.equal(model.digital.lm_head.weight, theirs.lm_head.weight)  # not rounded
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(model.digital.get_parameter(name), theirs.get_parameter(name))
    assert model.program.calibration is not None  # of lm_head alone
    assert model.program.matrix(name).input_range == 3.0


def test_what_it_was_trained_for_is_part_of_what_it_is() -> None:
    models = [converted(trained_for({**ROUNDED, "modifier__res": steps})) for steps in (14, 14, 30)]
    first, same, other = (from_module(each).sha256 for each in models)
    assert first == same != other


def test_shapes_alone() -> None:
    theirs = converted(trained_for(LIMITS))
    model = afmc.compile(theirs, AFM, shapes_only=True, level=0)
    assert len(model.program.matrices) == 15
    assert model.program.model.parameters == sum(
        each.numel()
        for name, each in theirs.named_parameters()
        if not name.endswith(("input_range", "weight_clip"))
    )


def test_another_network() -> None:
    from aihwkit_lightning.nn.conversion import convert_to_analog

    torch.manual_seed(5)
    network = nn.Sequential(nn.Linear(24, 40), nn.ReLU(), nn.Sequential(nn.Linear(40, 10)))
    theirs = convert_to_analog(network, trained_for(BY_COLUMN)).eval()
    inputs = torch.randn(64, 24)
    model = afmc.compile(theirs, AFM, example_inputs=inputs, settings=CUT, level=0).without_noise()
    assert model.program.calibration is None and model.program.training is not None
    assert [len(matrix.slice_ranges) for matrix in model.program.matrices] == [0, 0]
    assert [matrix.input_range for matrix in model.program.matrices] == [3.0, 3.0]
    assert model.program.model.architecture == "Sequential"
    with torch.inference_mode():
        ours, expected = model.write()(inputs), theirs(inputs)
    assert ((ours - expected).abs() > 1e-5).double().mean() < 2e-2
    assert (ours - expected).abs().max() < 0.05


def test_layers_of_different_configurations_are_refused() -> None:
    theirs: Any = converted(configuration())
    theirs.lm_head.rpu_config = configuration(forward__out_bound=10)
    with pytest.raises(ModelError) as error:
        on_tiles(theirs)
    assert str(error.value) == (
        "LlamaForCausalLM has layers of 2 different configurations (rpu_config): convert it with "
        "one."
    )


def test_ranges_that_are_no_numbers_are_refused() -> None:
    theirs: Any = converted(configuration())
    theirs.lm_head.input_range.data.fill_(float("nan"))
    with pytest.raises(ModelError) as error:
        on_tiles(theirs)
    assert str(error.value) == (
        "LlamaForCausalLM has in lm_head.input_range 1 of 1 values that are no numbers above 0, "
        "first nan."
    )


def test_convolutions_are_refused() -> None:
    from aihwkit_lightning.nn.conversion import convert_to_analog

    theirs = convert_to_analog(nn.Sequential(nn.Conv2d(1, 4, 3)), configuration()).eval()
    with pytest.raises(ModelError) as error:
        afmc.compile(theirs, AFM, example_inputs=torch.randn(2, 1, 8, 8), level=0)
    assert str(error.value) == (
        "AnalogSequential has a layer AnalogConv2d at 0: of AIHWKIT-Lightning's layers "
        "AnalogLinear is read; leave others out of the conversion (exclude_modules)."
    )
