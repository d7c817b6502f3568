"""The description and the cell model work together: `pip install .`, then `pytest`."""

import pytest
import torch
from acme_chip.rram import AcmeRram

import afmc
from afmc.testing import check_target


def test_the_target_is_conformant() -> None:
    assert {finding.kind for finding in check_target("acme-256")} == {"passed"}


def test_the_cell_spreads_as_the_report_says() -> None:
    states = torch.full((100_000,), 25.0)
    written = AcmeRram().program(states, torch.Generator().manual_seed(0))
    assert written.mean() == pytest.approx(25.0, abs=0.01)
    assert written.std() == pytest.approx(0.3, abs=0.01)


def test_a_layer_runs_on_it() -> None:
    generator = torch.Generator().manual_seed(0)
    linear = torch.nn.Linear(300, 200)
    tile = afmc.TileLinear(
        linear, afmc.load_target("acme-256"), input_range=4.0, generator=generator
    )
    x = torch.randn(64, 300, generator=generator)
    with torch.no_grad():
        error = (tile(x) - linear(x)).norm() / linear(x).norm()
    assert 0.01 < float(error) < 0.3
