"""What installed packages bring by entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from afmc.errors import OptionError


def plug_ins(group: str, what: str) -> dict[str, tuple[str, Any]]:
    """The objects of a group of entry points by name, and in words where each comes from.

    `what` is what one of them is called. Raises OptionError where two packages provide one, or
    where one cannot be imported.
    """
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=group):
        owner = entry.dist.name if entry.dist else "unknown"
        found.setdefault(entry.name, {})[f"{entry.value} of {owner}"] = entry
    made: dict[str, tuple[str, Any]] = {}
    for name in sorted(found):
        if len(found[name]) > 1:
            article, owners = "an" if what[0] in "aeiou" else "a", " and ".join(sorted(found[name]))
            raise OptionError(
                f"two packages provide {article} {what} {name!r}: {owners}; uninstall one."
            )
        [(where, entry)] = found[name].items()
        try:
            made[name] = where, entry.load()
        except (Exception, SystemExit) as error:  # whatever a plug-in raises
            raise OptionError(f"the {what} {name!r} ({where}) failed: {error!r}.") from error
    return made
