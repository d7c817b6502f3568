"""Checkpoints that are wrong on purpose: one sentence each, nothing runs, nothing is written."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import tiny_model
from profiles import examples
from safetensors.torch import save_file
from torch import Tensor

import afmc
from afmc.errors import ModelError
from afmc.frontends.checkpoint.inert import read_pickle
from afmc.frontends.checkpoint.tensors import read_bin

BIN = "pytorch_model.bin"
RANGE = "model.layers.0.self_attn.q_proj.input_range"
CLIP = "model.layers.0.self_attn.q_proj.learnable_weight_clip"
WEIGHT = "model.layers.0.mlp.up_proj.weight"
CLASSES = "aihwkit_lightning.simulator"


class Payload:
    """Makes a folder where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("payload-ran",)


State = dict[str, Tensor]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `m` of the working directory, with a configuration and no weights."""
    monkeypatch.chdir(tmp_path)
    config: Any = tiny_model("llama").config
    config.save_pretrained("m")
    return Path("m")


def weights() -> State:
    return {name: tensor.clone() for name, tensor in tiny_model("llama").state_dict().items()}


def listed(place: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_size) for path in place.rglob("*"))


def refused(folder: Path) -> str:
    """Why it does not compile; nothing may come of the attempt."""
    before = listed(Path())
    with pytest.raises(ModelError) as error:
        afmc.compile(folder, "afm-512-projected", level=0).save("out")
    assert listed(Path()) == before
    return str(error.value)


def save_bin(state: object, file: Path) -> None:
    torch.save(state, file)


def rewrite(
    file: Path, change: Callable[[str, bytes], bytes], how: int = zipfile.ZIP_STORED
) -> None:
    """The archive with other contents, and checksums that are right."""
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, data in content.items():
            archive.writestr(name, change(name, data))


def instead_of_the_pickle(payload: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, data: payload if name.endswith("data.pkl") else data


def test_the_payload_is_one(folder: Path) -> None:
    pickle.loads(pickle.dumps(Payload()))
    assert Path("payload-ran").is_dir()


# What is wrong with pytorch_model.bin.


def test_a_pickle_that_calls_out(folder: Path) -> None:
    save_bin(weights(), folder / BIN)
    rewrite(folder / BIN, instead_of_the_pickle(pickle.dumps(Payload(), protocol=2)))
    assert refused(folder) == (
        f"m/{BIN} names {os.mkdir.__module__}.mkdir, which is no part of a checkpoint of tensors; "
        f"nothing of it was run."
    )


def test_a_pickle_that_calls_out_behind_the_tensors(folder: Path) -> None:
    state: Any = OrderedDict(weights())
    state["model.extra"] = Payload()
    save_bin(state, folder / BIN)
    assert refused(folder).startswith(
        f"m/{BIN} names {os.mkdir.__module__}.mkdir, which is no part"
    )


def test_a_pickle_without_an_archive(folder: Path) -> None:
    (folder / BIN).write_bytes(pickle.dumps(Payload()))
    assert refused(folder) == (
        f"m/{BIN} is truncated, damaged or from before torch 1.6 (File is not a zip file)."
    )


def test_the_format_of_old_torch(folder: Path) -> None:
    torch.save(weights(), folder / BIN, _use_new_zipfile_serialization=False)
    assert "from before torch 1.6" in refused(folder)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_truncated(folder: Path, share: float) -> None:
    save_bin(weights(), folder / BIN)
    os.truncate(folder / BIN, int((folder / BIN).stat().st_size * share))
    assert refused(folder).startswith(f"m/{BIN} is truncated, damaged or from before torch 1.6 (")


def test_a_flipped_bit_in_the_numbers(folder: Path) -> None:
    save_bin(weights(), folder / BIN)
    content = bytearray((folder / BIN).read_bytes())
    with zipfile.ZipFile(folder / BIN) as archive:
        last = next(i for i in archive.infolist() if i.filename.endswith("data/3"))
    content[last.header_offset + 256] ^= 4
    (folder / BIN).write_bytes(content)
    assert refused(folder) == (
        f"m/{BIN} is damaged: the numbers of model.layers.0.self_attn.v_proj.weight have a wrong "
        f"checksum."
    )


def test_compressed(folder: Path) -> None:
    save_bin(weights(), folder / BIN)
    rewrite(folder / BIN, lambda name, data: data, zipfile.ZIP_DEFLATED)
    assert refused(folder) == (
        f"m/{BIN} is compressed at pytorch_model/data.pkl, which torch.save never does."
    )


def test_more_numbers_than_there_are(folder: Path) -> None:
    """A tensor of a billion numbers that is one number over and over."""
    state = weights()
    state["model.norm.weight"] = torch.ones(1).expand(1_000_000_000)
    save_bin(state, folder / BIN)
    assert refused(folder) == (
        f"m/{BIN} claims 1000000000 numbers for model.norm.weight, up to number 1, but stores 1."
    )


@pytest.mark.parametrize(
    ("was", "is_", "claim"),
    [
        (b"K\x04\x85", b"K\x05\x85", "5 numbers for w, up to number 5"),  # the shape
        (b"K\x01\x85", b"K\x02\x85", "4 numbers for w, up to number 7"),  # the stride
        (b"K\x00K\x04", b"K\x09K\x04", "4 numbers for w, up to number 13"),  # where it begins
    ],
)
def test_a_tensor_beyond_its_storage(folder: Path, was: bytes, is_: bytes, claim: str) -> None:
    save_bin({"w": torch.ones(4)}, folder / BIN)
    rewrite(folder / BIN, lambda name, data: data.replace(was, is_))
    assert refused(folder) == f"m/{BIN} claims {claim}, but stores 4."


def other(key: str, value: Any) -> Callable[[State], None]:
    def change(state: State) -> None:
        state[key] = value

    return change


def scaled(key: str, value: float) -> Callable[[State], None]:
    def change(state: State) -> None:
        state[key][0] = value

    return change


NOT_ABOVE_0 = f"has in {RANGE} 1 of 2 values that are no numbers above 0, first"


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (other(WEIGHT, torch.zeros(3, 5)), f"m has 1 weight of another shape than config.json says,"
         f" first {WEIGHT}: [3, 5] instead of [48, 32]."),
        (other(WEIGHT, torch.ones(48, 32, dtype=torch.int8)), f"FILE has {WEIGHT} in DTYPE: save it"
         " dequantised, in float32, float16 or bfloat16."),
        (scaled(WEIGHT, torch.nan), f"m has weights that are not finite: 32 of 1536 in {WEIGHT}."),
        (other(RANGE, torch.tensor([3.0, torch.nan])), f"FILE {NOT_ABOVE_0} nan."),
        (other(RANGE, torch.tensor([3.0, torch.inf])), f"FILE {NOT_ABOVE_0} inf."),
        (other(RANGE, torch.tensor([0.0, 1.0])), f"FILE {NOT_ABOVE_0} 0."),
        (other(RANGE, torch.tensor([-2.0, 1.0])), f"FILE {NOT_ABOVE_0} -2."),
        (other(RANGE, torch.ones(2, 2)), f"FILE has in {RANGE} the shape 2 x 2 instead of [row"
         " slices]."),
        (other(RANGE, torch.ones(0)), f"FILE has in {RANGE} the shape 0 instead of [row slices]."),
        (other(RANGE, torch.tensor([3])), f"FILE has {RANGE} in DTYPE: save it dequantised, in"
         " float32, float16 or bfloat16."),
        (other(RANGE, torch.ones(33)), f"m has 33 values in {RANGE}, but the layer has 32 inputs to"
         " cut into row slices."),
        (other(CLIP, torch.ones(1, 5)), f"m has the shape 1 x 5 in {CLIP}, but the layer has 1 row"
         " slices of 32 outputs."),
        (other(CLIP, torch.zeros(1, 32)), f"FILE has in {CLIP} 32 of 32 values that are no numbers"
         " above 0, first 0."),
    ],
)  # fmt: skip
def test_tensors(folder: Path, suffix: str, change: Callable[[State], None], sentence: str) -> None:
    state = weights()
    change(state)
    if suffix == ".bin":
        file, integers = folder / BIN, {torch.int8: "int8", torch.int64: "int64"}
        save_bin(state, file)
    else:
        file, integers = folder / "model.safetensors", {torch.int8: "I8", torch.int64: "I64"}
        save_file({name: each.contiguous() for name, each in state.items()}, file)
    dtypes = {each.dtype for each in state.values()} & set(integers)
    for dtype in dtypes:
        sentence = sentence.replace("DTYPE", integers[dtype])
    assert refused(folder) == sentence.replace("FILE", str(file))


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({}, "m has weight files without a tensor in them."),
        ({"epoch": 3}, f"m/{BIN} holds epoch, which is not a tensor: save model.state_dict() "
         "alone."),
        ({"model": {"w": torch.ones(2)}}, f"m/{BIN} holds model, which is not a tensor: save "
         "model.state_dict() alone."),
        ([torch.ones(2)], f"m/{BIN} holds no dictionary of tensors: save model.state_dict()."),
        ({"w": torch.ones(2, dtype=torch.uint16)}, f"m/{BIN} names torch._utils."
         "_rebuild_tensor_v3, which is no part of a checkpoint of tensors; nothing of it was run."),
        ({"w" * 200 + "\x1b[2J": 1}, f"m/{BIN} holds {'w' * 80}..., which is not a tensor: save "
         "model.state_dict() alone."),
    ],
)  # fmt: skip
def test_no_state_of_a_model(folder: Path, state: object, sentence: str) -> None:
    save_bin(state, folder / BIN)
    assert refused(folder) == sentence


# What is wrong with safetensors.


def header(tensors: object, length: int | None = None) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (header({}, 100 << 30), "header too large"),
        (header({"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}),
         "incomplete metadata, file not fully covered"),
        (header({"w": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 0]}}), "overflow"),
    ],
)  # fmt: skip
def test_safetensors_that_claim_too_much(folder: Path, content: bytes, reason: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    said = refused(folder)
    assert said.startswith("m/model.safetensors is truncated or not a safetensors file (")
    assert reason in said.lower()


# Shards and links.


def index(folder: Path, *names: str) -> None:
    content = {"weight_map": {str(number): name for number, name in enumerate(names)}}
    (folder / f"{BIN}.index.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../outside.bin", "which is not a file name inside the folder."),
        ("/etc/passwd", "which is not a file name inside the folder."),
        ("a.safetensors", "which is not a PyTorch file."),
        ("gone.bin", "which is missing from the folder."),
    ],
)
def test_shards_of_an_index(folder: Path, name: str, reason: str) -> None:
    save_bin(weights(), Path("outside.bin"))
    index(folder, name)
    assert refused(folder) == f"m/{BIN}.index.json names '{name}', {reason}"


def test_a_shard_that_is_missing(folder: Path) -> None:
    save_bin(weights(), folder / "pytorch_model-00002-of-00003.bin")
    assert refused(folder) == (
        "m has pytorch_model-00002-of-00003.bin, but pytorch_model-00001-of-00003.bin is missing "
        "from it."
    )


def test_two_shards_with_one_tensor(folder: Path) -> None:
    for name in ("a.bin", "b.bin"):
        save_bin(weights(), folder / name)
    index(folder, "a.bin", "b.bin")
    assert refused(folder) == "m/b.bin has model.embed_tokens.weight, and so has a.bin."


@pytest.mark.parametrize("name", [BIN, "model.safetensors", "rpu_config"])
def test_links_that_leave_the_folder(folder: Path, name: str) -> None:
    save_bin(weights(), folder / BIN)
    if name != "rpu_config":
        (folder / BIN).rename("outside")
    else:
        Path("outside").write_bytes(b"secret")
    (folder / name).symlink_to(Path("outside").absolute())
    assert refused(folder) == (
        f"m/{name} is a link that leaves the folder: put the file itself there."
    )


# What is wrong with rpu_config. Its pickles are written by hand where no object makes them.


def text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value.encode())) + value.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + pickle.STACK_GLOBAL


def made(kind: str, **fields: bytes) -> bytes:
    """An object of one of the configuration's classes."""
    body = pickle.EMPTY_DICT + pickle.MARK
    for name, value in fields.items():
        body += text(name) + value
    new = named(CLASSES, kind) + pickle.EMPTY_TUPLE + pickle.NEWOBJ
    return new + body + pickle.SETITEMS + pickle.BUILD


def member(*value: bytes) -> bytes:
    """Member of the enumeration of clip types, made by what comes first."""
    called, *arguments = value
    return called + pickle.MARK + b"".join(arguments) + pickle.TUPLE + pickle.REDUCE


def config(**fields: bytes) -> bytes:
    return pickle.PROTO + b"\x04" + made("TorchInferenceRPUConfig", **fields) + pickle.STOP


CLIP_TYPE = named(f"{CLASSES}.parameters.enums", "WeightClipType")
NAN = pickle.BINFLOAT + struct.pack(">d", torch.nan)
NONE_OF_IT = "which is no part of an AIHWKIT-Lightning configuration; nothing of it was run."


def laughs() -> bytes:
    """A list of two lists of two lists..., 2**60 in all, in a kilobyte."""
    body = pickle.EMPTY_LIST
    for depth in range(60):
        put = pickle.BINPUT + bytes([depth])
        get = pickle.BINGET + bytes([depth])
        body += put + pickle.POP + pickle.EMPTY_LIST + get + pickle.APPEND + get + pickle.APPEND
    return pickle.PROTO + b"\x04" + body + pickle.STOP


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (pickle.dumps(Payload()), f"names {os.mkdir.__module__}.mkdir, {NONE_OF_IT}"),
        (config(clip=named("os", "system")), f"names os.system, {NONE_OF_IT}"),
        (config(clip=named("builtins", "eval")), f"names builtins.eval, {NONE_OF_IT}"),
        (config(clip=named(f"{CLASSES}.os", "system")), f"names {CLASSES}.os.system, {NONE_OF_IT}"),
        (config(clip=named("my", "WeightClipType")), f"names my.WeightClipType, {NONE_OF_IT}"),
        (b"cos\nsystem\n(S'x'\ntR.", f"names os.system, {NONE_OF_IT}"),
        (b"(S'x'\nios\nsystem\n.", f"has the pickle instruction STRING, {NONE_OF_IT}"),
        (pickle.PROTO + b"\x02" + pickle.EXT1 + b"\x01.",
         f"has the pickle instruction EXT1, {NONE_OF_IT}"),
        (config(clip=made("WeightClipParameter", type=member(
            named("builtins", "getattr"), CLIP_TYPE, text("__class__")))),
         "has no WeightClipType at clip.type."),
        (config(clip=made("WeightClipParameter", type=member(CLIP_TYPE, text("Mean")))),
         "has 'Mean' at clip.type."),
        (config(forward=made("IOParameters", inp_res=text("many"))),
         "has no number at forward.inp_res."),
        (config(forward=made("IOParameters", out_bound=NAN)),
         "has no number at forward.out_bound."),
        (config(forward=made("MappingParameter")), "has no IOParameters at forward."),
        (config()[:-1], "is truncated or damaged: its pickle cannot be followed (pickle exhausted"
         " before seeing STOP)."),
        (b"", "is truncated or damaged: its pickle cannot be followed (pickle exhausted before"
         " seeing STOP)."),
        (b"{}", "is truncated or damaged: its pickle cannot be followed (at position 0, opcode"
         " b'{' unknown)."),
        (b"\x80\x04" + b"0" * 8, "is truncated or damaged: its pickle cannot be followed (pop from"
         " empty list)."),
        (laughs(), "has no TorchInferenceRPUConfig at its top."),
        (b"\x80\x04]" + b"0]" * (1 << 20), "has 2,097,155 bytes, too many for an AIHWKIT-Lightning"
         " configuration."),
    ],
)  # fmt: skip
def test_configurations(folder: Path, content: bytes, sentence: str) -> None:
    save_bin(weights(), folder / BIN)
    (folder / "rpu_config").write_bytes(content)
    assert refused(folder) == f"m/rpu_config {sentence}"


def test_the_same_in_the_metadata_of_weights(folder: Path) -> None:
    state: Any = tiny_model("llama").state_dict()
    state._metadata["lm_head"]["rpu_config"] = Payload()
    save_bin(state, folder / BIN)
    assert refused(folder).startswith(
        f"m/{BIN} names {os.mkdir.__module__}.mkdir, which is no part"
    )


# Whatever else may be in a file.


@given(st.binary(max_size=200))
def test_any_bytes_as_a_pickle(data: bytes) -> None:
    try:
        read_pickle(data, Path("any"), "anything", lambda name: True)
    except ModelError as error:
        assert str(error).startswith("any ")


SMALL = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.float16)}


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bits(tmp_path: Path, data: st.DataObject) -> None:
    """A file is refused, or gives what it gave before: no flip of its numbers goes unseen."""
    buffer = io.BytesIO()
    torch.save(SMALL, buffer)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file = tmp_path / "flipped.bin"
    file.write_bytes(content)
    try:
        found = read_bin(file)
    except ModelError as error:
        assert str(error).startswith(str(file))
        return
    for name, tensor in found.items():
        assert torch.equal(tensor, SMALL[name])
