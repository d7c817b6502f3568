"""Checkpoints that AIHWKIT-Lightning itself made compute on tiles what the library computes."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from analog_checkpoints import RPU_CONFIG, Kind, configuration, converted, save
from models import tiny_tokenizer
from printing import shown
from torch import Tensor, nn

import afmc
from afmc.compiled_model import CompiledModel
from afmc.data.text import Text
from afmc.errors import ModelError
from afmc.frontends.checkpoint.rpu_config import read_rpu_config
from afmc.frontends.find import resolve
from afmc.frontends.huggingface.load import load
from afmc.inspect.layer import render_layer
from afmc.inspect.screen import render
from afmc.inspect.why import render_why
from afmc.program.observed import Training

pytest.importorskip("aihwkit_lightning", reason="pip install aihwkit-lightning==2.1.0")

AFM = "afm-512-projected"
WIDE = 128  # columns and rows that hold any matrix of the tiny model
TOKENS = torch.randint(0, 60, (2, 16), generator=torch.Generator().manual_seed(3))


def clip(name: str) -> Any:
    from aihwkit_lightning.simulator.configs import WeightClipType

    return WeightClipType[name]


def rounding(name: str) -> Any:
    from aihwkit_lightning.simulator.configs import WeightQuantizationType

    return WeightQuantizationType[name]


def on_tiles(folder: Path, rows: int = WIDE, **settings: object) -> CompiledModel:
    """Noise-free, cut as the library cuts, and each column on one tile."""
    cut = {"target.crossbar.rows": rows, "target.crossbar.columns": WIDE}
    more = {key.replace("__", "."): value for key, value in settings.items()}
    settings = {**cut, "split.style": "balanced", **more}
    return afmc.compile(folder, AFM, settings=settings, level=0).without_noise()


def logits(module: Any) -> Tensor:
    with torch.inference_mode():
        return module(input_ids=TOKENS).logits


def assert_equal_but_for_ties(ours: Tensor, theirs: Tensor) -> None:
    """A sum on the boundary between two codes may be rounded to the other one."""
    differ = (ours - theirs).abs() > 1e-5
    assert differ.double().mean() < 2e-3
    assert (ours - theirs).abs().max() < 0.05


@pytest.mark.parametrize("kind", ["bin", "sharded", "indexed", "metadata", "safetensors"])
@pytest.mark.parametrize("rows", [-1, 20])
def test_logits_are_the_librarys(tmp_path: Path, kind: Kind, rows: int) -> None:
    config = configuration(
        mapping__max_input_size=rows, clip__type=clip("LAYER_GAUSSIAN_PER_CHANNEL"), clip__sigma=2.5
    )
    theirs = converted(config)
    model = on_tiles(save(theirs, config, tmp_path / "m", kind), WIDE if rows < 0 else rows)
    assert_equal_but_for_ties(logits(model.write()), logits(theirs))
    assert (logits(model.digital) - logits(theirs)).abs().max() > 0.1  # converters matter here
    assert model.program.calibration is None
    slices = [len(matrix.slice_ranges) for matrix in model.program.matrices]
    assert set(slices) == ({0} if rows < 0 else {2, 3})
    assert list(model.summary.notes) == []


def test_output_ranges_by_tensor(tmp_path: Path) -> None:
    config = configuration(mapping__max_input_size=20, clip__type=clip("LAYER_GAUSSIAN"))
    theirs = converted(config)
    folder = save(theirs, config, tmp_path / "m")
    by_tile = on_tiles(folder, 20, target__output__range="tile", merge__enabled=False)
    assert_equal_but_for_ties(logits(by_tile.write()), logits(theirs))
    by_column = on_tiles(folder, 20)
    assert (logits(by_column.write()) - logits(theirs)).abs().max() > 0.05
    assert list(by_column.summary.notes) == [
        f"trained for output ranges by the largest weight of a whole row slice, but those of {AFM} "
        f"go by a column's (--set target.output.range=tile for the model's)"
    ]


def test_learned_limits_clip_weights(tmp_path: Path) -> None:
    config = configuration(mapping__max_input_size=20, clip__type=clip("LEARNABLE_PER_CHANNEL"))
    theirs = converted(config)
    model = on_tiles(save(theirs, config, tmp_path / "m"), 20)
    assert_equal_but_for_ties(logits(model.write()), logits(theirs))
    again = afmc.load(model.save(tmp_path / "out")).without_noise()
    assert torch.equal(logits(again.write()), logits(model.write()))


def test_limits_above_all_weights_are_told(tmp_path: Path) -> None:
    config = configuration(clip__type=clip("LEARNABLE_PER_CHANNEL"))
    lines: list[str] = []
    folder = save(converted(config, limits=1.5), config, tmp_path / "m")
    load(resolve(str(folder)), log=lines.append)
    assert lines == [
        "508 columns of row slices have a learned limit above their largest weight, to which the "
        "range of output converters refers here"
    ]


@pytest.mark.parametrize(
    ("way", "limit"),
    [
        ("DISCRETIZE", "NONE"),
        ("DISCRETIZE_PER_CHANNEL", "NONE"),
        ("DISCRETIZE_PER_CHANNEL", "LEARNABLE_PER_CHANNEL"),
    ],
)
def test_weights_are_rounded_as_the_library_does(tmp_path: Path, way: str, limit: str) -> None:
    config = configuration(
        mapping__max_input_size=20,
        clip__type=clip(limit),
        modifier__quantization_type=rounding(way),
        modifier__res=14,
    )
    theirs: Any = converted(config)
    ours = load(resolve(str(save(theirs, config, tmp_path / "m")))).module
    with warnings.catch_warnings(action="ignore"):
        theirs.quantize_weights()
    for name, layer in theirs.named_analog_layers():
        assert torch.equal(ours.get_parameter(f"{name}.weight"), layer.weight), name
    embedding = "model.embed_tokens.weight"
    assert torch.equal(ours.get_parameter(embedding), theirs.get_parameter(embedding))


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_half_precision(tmp_path: Path, kind: Kind) -> None:
    config = configuration(
        mapping__max_input_size=20, clip__type=clip("LAYER_GAUSSIAN_PER_CHANNEL")
    )
    theirs = converted(config).half()
    model = on_tiles(save(theirs, config, tmp_path / "m", kind), 20)
    assert_equal_but_for_ties(logits(model.write()), logits(theirs.float()))


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_the_checkpoints_own_lm_head_counts(tmp_path: Path, kind: Kind) -> None:
    """The conversion unties it, whatever the configuration of the model says."""
    config = configuration()
    theirs: Any = converted(config)
    assert theirs.config.tie_word_embeddings
    folder = save(theirs, config, tmp_path / "m", kind)
    model = afmc.compile(folder, "ideal-512", level=0)
    assert torch.equal(model.digital.get_parameter("lm_head.weight"), theirs.lm_head.weight)
    assert model.program.matrix("lm_head.weight").tied_to is None
    kept = afmc.load(model.save(tmp_path / "out")).digital
    assert torch.equal(kept.get_parameter("lm_head.weight"), theirs.lm_head.weight)
    embedding = kept.get_parameter("model.embed_tokens.weight")
    assert torch.equal(embedding, theirs.model.embed_tokens.weight)


def test_other_architectures(tmp_path: Path) -> None:
    config = configuration(clip__type=clip("LAYER_GAUSSIAN_PER_CHANNEL"))
    theirs = converted(config, "phi3")
    model = on_tiles(save(theirs, config, tmp_path / "m"))
    assert_equal_but_for_ties(logits(model.write()), logits(theirs))


def test_rows_that_are_cut_elsewhere_take_the_largest_range(tmp_path: Path) -> None:
    config = configuration(mapping__max_input_size=20)
    folder = save(converted(config), config, tmp_path / "m")
    model = on_tiles(folder, 64, target__output__range="tile")
    name = "model.layers.0.self_attn.o_proj.weight"
    tiles: Any = model.tiles[name]
    model.write()
    assert tiles.row_range.tolist() == [max(model.program.matrix(name).slice_ranges)] * 32
    assert list(model.summary.notes) == [
        "15 matrices have input ranges for row slices that are cut at other rows here: a block "
        "that has rows of several of them takes the largest of their ranges"
    ]
    finer = on_tiles(folder, 8, target__output__range="tile")
    finer.write()
    tiles = finer.tiles[name]
    assert tiles.row_range.tolist() == [
        each for each in finer.program.matrix(name).slice_ranges for _ in range(16)
    ]
    assert list(finer.summary.notes) == []


def test_what_it_was_trained_for_is_said(tmp_path: Path) -> None:
    from aihwkit_lightning.simulator.configs import WeightNoiseInjectionType

    config = configuration(
        forward__inp_res=1 / 254,
        forward__out_res=1022,
        forward__out_bound=12,
        clip__type=clip("LAYER_GAUSSIAN_PER_CHANNEL"),
        clip__sigma=2.5,
        modifier__noise_type=WeightNoiseInjectionType.ADD_NORMAL_PER_CHANNEL,
        modifier__std_dev=0.03,
    )
    model = on_tiles(save(converted(config), config, tmp_path / "m"), target__input__bits=6)
    assert list(model.summary.notes) == [
        f"trained for inputs of 8 bits, but those of {AFM} are of 6 bits (--set "
        f"target.input.bits=8 for the model's)",
        f"trained for outputs of 10 bits, but those of {AFM} are of 8 bits (--set "
        f"target.output.bits=10 for the model's)",
        f"trained for an output bound of 12, but that of {AFM} is 14 (--set "
        f"target.output.bound=12 for the model's)",
    ]
    again = afmc.load(model.save(tmp_path / "out"))
    assert again.program.training == model.program.training
    assert again.inspect()["training"]["weight_noise"] == 0.03
    page = model.report(tmp_path / "page.html").read_text()
    assert "trained for outputs of 10 bits" in page
    assert "weight noise 0.03 of the largest weight of each column" in page
    text = Text("words", "words " * 400)
    notes = model.validate(text, tokens=32, window=16, instances=1).notes
    assert set(model.summary.notes) <= set(notes)


def test_ranges_of_row_slices_are_shown(tmp_path: Path) -> None:
    config = configuration(
        mapping__max_input_size=20, clip__type=clip("LAYER_GAUSSIAN_PER_CHANNEL"), clip__sigma=2.5
    )
    model = on_tiles(save(converted(config), config, tmp_path / "m"), 20)
    artifact, name = model.compiled_program, "model.layers.0.mlp.down_proj"
    first, second, third = model.program.matrix(f"{name}.weight").slice_ranges
    screen = shown(render(artifact), 300)
    assert " input ranges   from the model; 15 matrices have one for each row slice" in screen
    assert (
        " trained for    inputs of 8 bits, outputs of 8 bits, output bound 14 by the largest "
        "weight of each column, row slices of at most 20, weights within 2.5 standard deviations "
        "of each column; by rpu_config of AIHWKIT-Lightning"
    ) in screen
    assert (
        f"±{first:.6g}, ±{second:.6g}, ±{third:.6g} for row slices of nearly equal size"
        in shown(render_why(artifact, name, 20), 300)
    )
    least, most = (pick(first, second, third) for pick in (min, max))
    assert f"{least:.4g} to {most:.4g}" in shown(render_layer(artifact, name, 20), 300)


def test_dynamic_ranges_are_calibrated(tmp_path: Path) -> None:
    config = configuration(pre_post__input_range__dynamic=True)
    model = on_tiles(save(converted(config), config, tmp_path / "m"))
    assert model.program.calibration is not None
    assert (
        "trained with an input range for each token, but here every matrix has a fixed one"
        in model.summary.notes
    )


def test_a_configuration_of_version_1(tmp_path: Path) -> None:
    """It has one field for noise and rounding, and fields that are gone."""
    from aihwkit_lightning.simulator.configs import WeightModifierType

    config = configuration()
    config.modifier.type = WeightModifierType.DISCRETIZE_ADD_NORMAL_PER_CHANNEL
    config.modifier.res, config.modifier.std_dev = 1 / 30, 0.02
    for name in ("noise_type", "quantization_type"):
        delattr(config.modifier, name)
    config.modifier.offset = 0.0
    del config.pre_post.input_range.fast_mode
    (tmp_path / RPU_CONFIG).write_bytes(pickle.dumps(config))
    found = read_rpu_config(tmp_path / RPU_CONFIG)
    assert (found.weight_noise, found.weight_noise_of) == (0.02, "column")
    assert (found.weight_steps, found.weight_steps_of) == (30, "column")


def test_nothing_said_is_what_the_library_has_by_itself(tmp_path: Path) -> None:
    from aihwkit_lightning.simulator.configs import TorchInferenceRPUConfig

    (tmp_path / RPU_CONFIG).write_bytes(pickle.dumps(TorchInferenceRPUConfig()))
    assert read_rpu_config(tmp_path / RPU_CONFIG) == Training(
        source="rpu_config of AIHWKIT-Lightning",
        input_steps=None,
        output_steps=None,
        output_bound=None,
        output_range="tile",
        ranges="none",
        max_rows=None,
        clip="none",
        clip_sigma=None,
        weight_noise=0.0,
        weight_noise_of="tile",
        weight_steps=None,
        weight_steps_of="tile",
        output_noise=0.0,
    )


def test_layers_of_different_configurations_are_refused(tmp_path: Path) -> None:
    config = configuration()
    module: Any = converted(config)
    module.lm_head.rpu_config = configuration(forward__out_bound=10)
    folder = save(module, config, tmp_path / "m", "metadata")
    with pytest.raises(ModelError) as error:
        resolve(str(folder))
    assert str(error.value) == (
        f"{folder}/pytorch_model.bin has layers of 2 different configurations in its metadata: put "
        f"the one to go by beside it, as rpu_config, and save dict(model.state_dict())."
    )


def test_a_model_that_was_never_analog(tmp_path: Path) -> None:
    """PyTorch's own format is read for any model; ties stay ties."""
    from models import tiny_model

    module: Any = tiny_model("llama")
    folder = tmp_path / "m"
    module.config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"max_new_tokens": 7}))
    torch.save(module.state_dict(), folder / "pytorch_model.bin")
    loaded: Any = load(resolve(str(folder)))
    assert loaded.training is None and loaded.input_ranges == {}
    assert loaded.module.lm_head.weight is loaded.module.model.embed_tokens.weight
    assert loaded.module.generation_config.max_new_tokens == 7
    for name, parameter in loaded.module.named_parameters():
        assert isinstance(parameter, nn.Parameter)
        assert torch.equal(parameter, module.get_parameter(name))


def test_ranges_of_no_module_are_told(tmp_path: Path) -> None:
    config = configuration()
    folder = save(converted(config), config, tmp_path / "m")
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    state["other.input_range"] = torch.ones(1)
    torch.save(state, folder / "pytorch_model.bin")
    lines: list[str] = []
    load(resolve(str(folder)), log=lines.append)
    assert lines == [
        f"{folder} has input ranges or limits for what the model does not have, first other"
    ]


def test_limits_that_are_missing(tmp_path: Path) -> None:
    config = configuration(clip__type=clip("LEARNABLE_PER_CHANNEL"))
    folder = save(converted(config), config, tmp_path / "m")
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del state["lm_head.learnable_weight_clip"]
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ModelError) as error:
        load(resolve(str(folder)))
    assert str(error.value) == (
        f"{folder} lacks lm_head.learnable_weight_clip, by which its configuration clips weights."
    )


def test_only_layers_that_were_converted_are_rounded(tmp_path: Path) -> None:
    """By their limits, where ranges are dynamic and therefore not stored."""
    config = configuration(
        pre_post__input_range__dynamic=True,
        clip__type=clip("LEARNABLE_PER_CHANNEL"),
        modifier__quantization_type=rounding("DISCRETIZE_PER_CHANNEL"),
        modifier__res=14,
    )
    folder = save(converted(config), config, tmp_path / "m")
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del state["lm_head.learnable_weight_clip"]
    torch.save(state, folder / "pytorch_model.bin")
    module = load(resolve(str(folder))).module
    head = "lm_head.weight"
    assert torch.equal(module.get_parameter(head), state[head])
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(module.get_parameter(name), state[name])
    assert len(set(module.get_parameter(name)[0].tolist())) <= 15
