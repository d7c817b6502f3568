"""Hardware descriptions: TOML files, checked and with a source for every figure."""

from afmc.targets.loader import list_targets as list_targets
from afmc.targets.loader import load_description as load_description
from afmc.targets.loader import load_target as load_target
from afmc.targets.loader import target_schema as target_schema
from afmc.targets.schema import Baseline as Baseline
from afmc.targets.schema import Target as Target
from afmc.targets.tables import Origin as Origin
