"""Third-party loaders without their progress bars and reports, for as long as they run."""

from __future__ import annotations

import logging as python_logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
from transformers.utils import logging


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers, accelerate, huggingface_hub and Python warnings, and put all back."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    no_hub_bars = are_progress_bars_disabled()
    accelerate = python_logging.getLogger("accelerate")
    level = accelerate.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            logging.set_verbosity(logging.CRITICAL)
            accelerate.setLevel(python_logging.CRITICAL)
            logging.disable_progress_bar()  # the hub's as well
            yield
        finally:
            logging.set_verbosity(verbosity)
            accelerate.setLevel(level)
            if bars:
                logging.enable_progress_bar()
            if no_hub_bars:
                disable_progress_bars()
