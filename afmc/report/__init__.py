"""One self-contained page on a compile: where the weights went, what a token costs, how accurate
it is, what to change.

`render` makes the page, `write_page` puts it on disk. Neither torch nor OR-Tools is imported.
"""

from afmc.report.page import render
from afmc.report.write import check_page, write_page

__all__ = ["check_page", "render", "write_page"]
