"""How many examples properties are tried on: few and always the same in the gate, many otherwise.

@settings(max_examples=examples(60))
"""

from __future__ import annotations

from hypothesis import settings

SHARE = 4
"""The gate tries one example in so many."""

settings.register_profile("gate", derandomize=True, database=None, deadline=None)
settings.register_profile("all", deadline=None)


def examples(count: int) -> int:
    """The number of examples under the profile that is loaded, of so many with ``--all``."""
    gate = settings.get_current_profile_name() == "gate"
    return min(count, max(5, count // SHARE)) if gate else count
