"""The check of array shapes that all tests run under."""

from __future__ import annotations

import pytest
import torch
from array_shapes import ShapeError

from afmc.simulator import cells, converters, reference
from afmc.targets import load_target

TARGET = load_target("hermes-64")


@pytest.fixture(autouse=True)
def checked(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--no-shapes"):
        pytest.skip("shapes are not checked")


def test_an_argument_of_another_shape() -> None:
    with pytest.raises(ShapeError, match=r"cells:weight_per_state: scale is \(2, 3\), not \[c\]"):
        cells.weight_per_state(torch.ones(2, 3), TARGET)


def test_a_result_of_another_shape() -> None:
    """A full scale for each row makes more of a vector than a vector."""
    with pytest.raises(ShapeError, match=r"convert_output: return is \(2, 3\), not \[\.\.\.\]"):
        converters.convert_output(torch.ones(3), torch.ones(2, 1), 254)


def test_functions_that_others_imported_are_checked_there_too() -> None:
    assert vars(reference)["convert_output"] is converters.convert_output
    assert hasattr(converters.convert_output, "__wrapped__")
