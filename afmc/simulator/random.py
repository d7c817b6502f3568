"""Every block on every tile of every instance has its own stream of random numbers.

The stream follows from the seed and the physical address alone, so a result does not depend on the
order or the number of workers, and a block that stays where it was keeps its noise.

torch's CPU generator takes 32 bits of a seed. Of 5,000 blocks two share a stream with a probability
of 0.3 %; of 4 million about 2,000 pairs do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch


@dataclass(frozen=True, order=True)
class Address:
    """Where the first cell of a block sits."""

    chip: int
    tile: int
    tier: int
    row: int
    col: int


def generator_at(seed: int, instance: int, address: Address) -> torch.Generator:
    """The generator of one block on one manufactured instance."""
    parts = (seed, instance, address.chip, address.tile, address.tier, address.row, address.col)
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
