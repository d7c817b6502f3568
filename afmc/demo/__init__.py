"""The two models that come with afmc, and text to calibrate and to validate them on.

`demo` is an analog foundation model, `demo-teacher` the floating-point model that it was made from;
both, and the text, are what `examples/train_demo_afm.py` wrote.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_HERE = Path(__file__).parent

MODELS = {"demo": _HERE / "analog", "demo-teacher": _HERE / "teacher"}
"""By name, the Hugging Face folder."""


def text_for(use: Literal["calibration", "validation"]) -> Path:
    """Text that the teacher wrote; another one for each use."""
    return _HERE / f"{use}.txt"
