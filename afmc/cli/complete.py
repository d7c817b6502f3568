"""What the shell completes besides commands and options."""

from __future__ import annotations


def targets(incomplete: str) -> list[str]:
    """Names for --target."""
    from afmc.targets import list_targets

    return [name for name in list_targets() if name.startswith(incomplete)]


def models(incomplete: str) -> list[str]:
    """Names of models that come with afmc, or in a package of their own."""
    from afmc.frontends.find import KNOWN

    return [name for name in KNOWN if name.startswith(incomplete)]


def formats(incomplete: str) -> list[str]:
    """Formats of `afmc export`."""
    from afmc.export.door import list_exporters

    return [name for name in list_exporters() if name.startswith(incomplete)]
