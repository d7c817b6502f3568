"""For people who extend afmc: whether what they made works.

``check_target`` is what ``afmc targets check`` runs.
"""

from afmc.testing.targets import Finding as Finding
from afmc.testing.targets import check_target as check_target
