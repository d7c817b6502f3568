"""What a token costs: energy, latency and area, from a program and its target."""

from afmc.costs.baseline import BaselineCosts, estimate_baseline
from afmc.costs.estimate import estimate
from afmc.costs.figures import Figure
from afmc.costs.parts import Costs, Efficiency, OfMatrix, Part
from afmc.costs.trace import trace
from afmc.costs.workload import Workload

__all__ = [
    "BaselineCosts",
    "Costs",
    "Efficiency",
    "Figure",
    "OfMatrix",
    "Part",
    "Workload",
    "estimate",
    "estimate_baseline",
    "trace",
]
