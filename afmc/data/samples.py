"""Arrays of samples to calibrate on, and with labels to measure accuracy on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.common.strict_arrays import NotArrays, read_arrays
from afmc.errors import SampleError

INPUTS, LABELS = "inputs", "labels"
"""Names of arrays in a file: of a model's only input, and of the classes."""

Array = NDArray[Any]

_ARRAY = b"\x93NUMPY"
"""How a file of a single array begins."""

_KINDS = {"f": "floating point", "i": "whole", "u": "whole", "b": "true or false"}


@dataclass(frozen=True)
class Input:
    """What a model reads."""

    name: str
    dtype: np.dtype[Any]
    sizes: tuple[int | None, ...] | None
    """None where a size may be any; the first one counts samples. None for any number of them."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The first dimension of every array counts samples."""

    arrays: Mapping[str, Array]
    """By name of the input; that of a model with one input may be ``inputs``."""
    labels: Array | None = None
    """[samples], numbers of classes."""
    name: str = "samples in memory"

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def first(self, count: int) -> Samples:
        labels = None if self.labels is None else self.labels[:count]
        return Samples({k: v[:count] for k, v in self.arrays.items()}, labels, self.name)

    def batches(self, size: int) -> Iterator[Samples]:
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            labels = None if self.labels is None else self.labels[part]
            yield Samples({k: v[part] for k, v in self.arrays.items()}, labels, self.name)

    @property
    def sha256(self) -> str:
        """Over names, shapes, types and bytes of all arrays."""
        digest = hashlib.sha256()
        labels = {} if self.labels is None else {LABELS: self.labels}
        for name, array in {**self.arrays, **labels}.items():
            digest.update(f"{name}\0{list(array.shape)}\0{array.dtype}\0".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def read_samples(path: str | Path) -> Samples:
    """An ``.npz`` file: ``inputs``, or an array for each input by its name, and perhaps ``labels``.

    Pickled objects are refused. Raises SampleError.
    """
    path = Path(path)
    if not path.exists():
        raise SampleError(f"the samples {path} do not exist.")
    if path.is_dir():
        raise SampleError(f"the samples {path} are a folder; name an .npz file.")
    try:
        if _begins(path, _ARRAY):
            raise SampleError(f"{path} is a single array: write it with np.savez, as 'inputs'.")
        arrays = read_arrays(path)
    except (OSError, NotArrays) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SampleError(
            f"{path} cannot be read as an .npz file of plain arrays ({reason}): write it with "
            f"np.savez."
        ) from error
    return samples_of(arrays.pop(LABELS, None), arrays, path.name)


def _begins(path: Path, mark: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def samples_of(labels: Any, arrays: Mapping[str, Any], name: str) -> Samples:
    """Checked: as many samples in each array, and labels that are whole numbers from 0."""
    if not arrays:
        raise SampleError(f"{name} has no array {INPUTS!r}.")
    given = {key: np.asarray(array) for key, array in arrays.items()}
    counts = {key: len(array) if array.ndim else 0 for key, array in given.items()}
    if labels is not None:
        labels = np.asarray(labels)
        counts[LABELS] = len(labels) if labels.ndim else 0
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise SampleError(
                f"the labels of {name} are {_spell(labels)}: they must be whole numbers, one for "
                f"each sample."
            )
    if len(set(counts.values())) > 1:
        told = " and ".join(f"{count:,} in {key!r}" for key, count in counts.items())
        raise SampleError(f"{name} has different numbers of samples: {told}.")
    if not next(iter(counts.values())):
        raise SampleError(f"{name} has no samples.")
    if labels is not None and int(labels.min()) < 0:
        raise SampleError(f"the labels of {name} begin at {int(labels.min())}: count from 0.")
    return Samples(given, labels, name)


def fitted(samples: Samples, inputs: Sequence[Input], model: str) -> Samples:
    """The arrays that a model reads, in its order and types.

    Raises SampleError for an array that is missing, of another shape, not finite or of a type that
    does not become the model's without a decision.
    """
    given = dict(samples.arrays)
    if len(inputs) == 1 and inputs[0].name not in given and INPUTS in given:
        given[inputs[0].name] = given.pop(INPUTS)
    arrays = {}
    for each in inputs:
        if each.name not in given:
            has = ", ".join(map(repr, given))
            raise SampleError(
                f"{samples.name} has no array for the input {each.name!r} of {model}; it has {has}."
            )
        arrays[each.name] = _fitted(given[each.name], each, samples.name, model)
    return Samples(arrays, samples.labels, samples.name)


def _fitted(array: Array, wanted: Input, name: str, model: str) -> Array:
    sizes = wanted.sizes
    if sizes is not None:
        pairs = zip(array.shape[1:], sizes[1:], strict=False)
        if array.ndim != len(sizes) or any(b is not None and a != b for a, b in pairs):
            told = " x ".join(
                "any" if size is None else str(size) for size in ("samples", *sizes[1:])
            )
            raise SampleError(
                f"{wanted.name!r} of {name} is {_spell(array)}, but {model} reads {told}."
            )
    if _KINDS.get(array.dtype.kind) != _KINDS.get(wanted.dtype.kind):
        raise SampleError(
            f"{wanted.name!r} of {name} is {array.dtype}, but {model} reads {wanted.dtype}: "
            f"convert it as it was for training."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise SampleError(f"{wanted.name!r} of {name} has values that are not finite.")
    return array.astype(wanted.dtype, copy=False)


def _spell(array: Array) -> str:
    return f"{' x '.join(map(str, array.shape)) or 'a single value'} {array.dtype}"
