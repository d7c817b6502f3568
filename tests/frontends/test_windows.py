"""A convolution is the product of its windows with its flattened weight."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from torch.nn import functional

from afmc.frontends.graph.windows import Windows, fold, same_padding, unfold

SIZES = st.integers(1, 3)


@st.composite
def windows(draw: st.DrawFn) -> Windows:
    dims = draw(st.sampled_from((1, 2)))
    kernel, stride, dilation, before, after = (
        tuple(draw(sizes) for _ in range(dims))
        for sizes in (SIZES, SIZES, SIZES, st.integers(0, 2), st.integers(0, 2))
    )
    return Windows(kernel, stride, dilation, before, after)


@settings(max_examples=examples(60))
@given(windows(), st.integers(1, 3), st.integers(1, 4))
def test_as_torch_convolves(windows: Windows, channels: int, outputs: int) -> None:
    dims, generator = len(windows.kernel), torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, *(9, 8)[:dims], generator=generator)
    weight = torch.randn(outputs, channels, *windows.kernel, generator=generator)
    vectors = unfold(x, **vars(windows))
    product = functional.linear(vectors, weight.flatten(1))
    ends = zip(reversed(windows.before), reversed(windows.after), strict=True)
    padded = functional.pad(x, [each for pair in ends for each in pair])
    convolve = functional.conv1d if dims == 1 else functional.conv2d
    expected = convolve(padded, weight, None, windows.stride, 0, windows.dilation)
    assert windows.places(x.shape[2:]) == expected.shape[2:]
    torch.testing.assert_close(fold(product, x, **vars(windows)), expected, atol=1e-5, rtol=1e-5)


def test_same_padding_keeps_the_size() -> None:
    kernel, dilation = (4, 3), (1, 2)
    before, after = same_padding(kernel, dilation)
    assert (before, after) == ((1, 2), (2, 2))
    assert Windows(kernel, (1, 1), dilation, before, after).places((7, 9)) == (7, 9)


def test_different_windows_have_different_names() -> None:
    plain = Windows((3, 3), (1, 1), (1, 1), (0, 0), (0, 0))
    assert str(plain) == "windows(3x3)"
    other = Windows((3, 3), (2, 1), (1, 2), (1, 0), (0, 0))
    assert str(other) == "windows(3x3 stride 2x1 dilation 1x2 padding 1+0x0+0)"
