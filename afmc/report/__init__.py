"""One self-contained page on a compile: where the weights went, what a token costs, how accurate
it is, what to change; and one on several compiles, side by side.

`render` and `comparison_page` make them, `write_page` puts them on disk. Neither torch nor OR-Tools
is imported.
"""

from afmc.report.comparison import comparison_page
from afmc.report.page import render
from afmc.report.write import check_page, write_page

__all__ = ["check_page", "comparison_page", "render", "write_page"]
