"""A plug-in whose import fails."""

1 / 0  # noqa: B018
