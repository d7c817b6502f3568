"""For people who extend afmc: whether what they made works.

``check_target`` is what ``afmc targets check`` runs, ``verify`` what ``afmc verify`` does;
``check_exporter`` tries an exporter on a compiled folder, ``check_frontend`` a frontend on a file.
"""

from afmc.testing.check_exporter import check_exporter as check_exporter
from afmc.testing.check_frontend import check_frontend as check_frontend
from afmc.testing.check_target import Finding as Finding
from afmc.testing.check_target import check_target as check_target
from afmc.verifier import Check as Check
from afmc.verifier import Report as Report
from afmc.verifier import verify as verify
