"""Text to calibrate and to validate on."""

from __future__ import annotations

from pydoc_data.topics import topics

from afmc.data.text import read_text


def test_the_help_topics_are_halved_so_that_nothing_is_measured_where_it_was_calibrated() -> None:
    calibration, validation = read_text(None, "calibration"), read_text(None, "validation")
    assert calibration.name != validation.name
    assert calibration.sha256 != validation.sha256
    everything = validation.content + calibration.content
    assert len(everything) > 400_000
    assert everything == "\n\n".join(topics[key] for key in sorted(topics))
