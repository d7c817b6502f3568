"""What a token costs: energy, latency and area, from a program and its target."""

from afmc.costs.baseline import BaselineCosts, estimate_baseline
from afmc.costs.estimate import estimate
from afmc.costs.parts import Costs
from afmc.costs.trace import trace
from afmc.costs.workload import Workload

__all__ = ["BaselineCosts", "Costs", "Workload", "estimate", "estimate_baseline", "trace"]
