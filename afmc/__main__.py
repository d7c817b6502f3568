"""``python -m afmc``"""

from afmc.cli import main

main()
