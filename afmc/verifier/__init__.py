"""An independent verifier: whether the mapping in a folder is what it claims to be.

It reads what `afmc compile` wrote and nothing else, and shares no code with what made it: of afmc
it imports only `afmc.errors` and `afmc.targets`, which import-linter holds.
"""

from afmc.verifier.checks import verify as verify
from afmc.verifier.report import Check as Check
from afmc.verifier.report import Report as Report
