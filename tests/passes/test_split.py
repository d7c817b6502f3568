from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afmc.passes.cutting.cuts import cut


def test_full_is_whole_tiles_and_a_remainder() -> None:
    assert cut(1536, 512, "full").tolist() == [512, 512, 512]
    assert cut(576, 512, "full").tolist() == [512, 64]
    assert cut(64, 512, "full").tolist() == [64]


def test_balanced_is_aihwkits_rule() -> None:
    """Sizes that AIHWKIT-Lightning's own function gives."""
    assert cut(2048, 512, "balanced").tolist() == [512] * 4
    assert cut(1000, 512, "balanced").tolist() == [500, 500]
    assert cut(513, 512, "balanced").tolist() == [257, 256]
    assert cut(11008, 512, "balanced").tolist() == [501] * 8 + [500] * 14


@given(st.integers(1, 5000), st.integers(1, 600), st.sampled_from(["full", "balanced"]))
def test_pieces_cover_the_length_with_as_few_as_can_be(length, limit, style) -> None:  # type: ignore[no-untyped-def]
    sizes = cut(length, limit, style)
    assert sizes.sum() == length
    assert sizes.min() >= 1 and sizes.max() <= limit
    assert len(sizes) == -(-length // limit)
