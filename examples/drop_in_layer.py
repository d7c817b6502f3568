"""One linear layer on noisy tiles, without compiling a model: afmc.TileLinear."""

import torch
from torch import nn

import afmc

linear = nn.Linear(1024, 512)
x = torch.randn(64, 1024)
for name in ("hermes-64", "pcm-34", "neurram-48", "photonic-mzi-128", "ideal-512"):
    tile = afmc.TileLinear(
        linear,
        afmc.load_target(name),
        input_range=4.0,
        generator=torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        error = (tile(x) - linear(x)).norm() / linear(x).norm()
    print(f"{name:16}  relative error of the product {100 * float(error):5.2f} %")
