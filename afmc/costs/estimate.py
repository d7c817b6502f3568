"""Energy, latency and area of a token, from the mapping that was made.

Energy is the number of events of each kind times the energy of one (CiMLoop, ISPASS 2024). The
energy of a product on a tile is the target's own figure for a whole crossbar, times the share of
its columns that are converted: converters of columns without weights are taken to be off. Where a
target has no such figure, rows, cells and converters are counted apart (`afmc.costs.product`). The
time of a token is that of its `afmc.costs.schedule`.

Not in it: programming the weights, the host, sampling, reading embeddings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from afmc.costs.figures import Figure, Figures
from afmc.costs.parts import READING, WRITING, Costs, Efficiency, OfMatrix, Part, Where
from afmc.costs.product import Product
from afmc.costs.reads import Reads, Real, reads_of
from afmc.costs.recovery import (
    CORRECTING,
    ROTATING,
    RecoveryTime,
    recovery_parts,
    recovery_time,
)
from afmc.costs.schedule import (
    LINKS,
    Duration,
    Durations,
    Kind,
    Resource,
    Schedule,
    Step,
    Whole,
    schedule,
)
from afmc.costs.workload import Workload, check_context, usual_workloads
from afmc.errors import OptionError
from afmc.program.flow import Flow, bytes_sent, chained, flow_of
from afmc.program.layout import layout_of
from afmc.program.model import Matrix, Work
from afmc.program.program import Program
from afmc.targets import Target

_PER_VALUE = {
    "norm": "digital.norm_energy_pJ",
    "activation": "digital.activation_energy_pJ",
    "softmax": "digital.softmax_energy_pJ",
    "elementwise": "digital.elementwise_energy_pJ",
}
_LATENCY = {kind: key.replace("energy_pJ", "latency_ns") for kind, key in _PER_VALUE.items()}
_NAMES = {
    "norm": "normalisation",
    "activation": "activation functions",
    "softmax": "softmax",
    "elementwise": "element-wise operations",
}
ON_CHIP, BESIDE = "cache.on_chip_", "cache."
"""Where keys and values are kept: how the keys of the figures begin."""
ATTENTION, DIGITAL = "products of attention", "digital matrices"
WEIGHTS = "reading weights of digital matrices"
PRODUCTS, ROWS, CONVERTERS = "products on tiles", "row drivers", "converters"
UNITS, ATTENTION_UNITS = "digital units", "units of attention and digital matrices"
MEMORY = {ON_CHIP: "memory on the chips", BESIDE: "memory beside the chips"}
"""By where it is, the name of what steps share."""


def estimate(program: Program, target: Target, workload: Workload | None = None) -> Costs:
    """What a token costs on the hardware that the program was compiled for, or an inference where
    that is the model's unit. Raises OptionError for the prompt of a model that has none, and for
    a context beyond its positions.

    The program has been allocated and placed; it is a decoder, as far as prompts are concerned.
    """
    asked = workload or usual_workloads([program.model])[0]
    check_context(asked, program.model)
    return _Estimate(program, target, asked).costs()


class _Estimate:
    def __init__(self, program: Program, target: Target, workload: Workload) -> None:
        assert program.allocation is not None and program.digital is not None
        self.program, self.target, self.workload = program, target, workload
        if workload.phase == "prefill" and program.model.unit == "inference":
            raise OptionError(
                f"{program.model.name} has no prompt: its costs are those of an inference, for "
                f"which the phase is decode."
            )
        self.figures = Figures(target)
        self.product = Product(target, self.figures)
        self.flow: Flow = flow_of(program)
        self.cached = sum(work.cached for work in program.work)
        self.read_from = {name for feeds in chained(program).values() for name in feeds}
        self.reads: Reads = reads_of(program, self._shares())
        self.chips = layout_of(program, target).chips
        self.stored = sum(w.cached * workload.kept(w.window) for w in program.work)  # bytes
        fits = self.stored <= self.figures["cache.on_chip_MB"].value * 1e6 * self.chips
        self.cache = ON_CHIP if fits and self.stored else BESIDE
        self.digital = [m for m in program.matrices if m.name in (program.digital or {})]
        self.missing: list[str] = []

    def costs(self) -> Costs:
        durations = self._durations()
        plan = schedule(self.program, durations)
        left_out = sum(r.weights for r in self.program.remainder if not r.lowered)
        if left_out:
            self.missing.append(f"products with {left_out:,} weights that are not lowered yet")
        tokens = self.workload.tokens
        latency = plan.latency_ns + (tokens - 1) * plan.interval_ns
        self.missing.extend(self.product.notes())
        parts = [*self._tiles(), *self._digital(), *self._memory(), *self._links()]
        parts += self._static(latency / tokens)
        known = sum(part.energy_nJ or 0.0 for part in parts)
        tiles = sum(part.energy_nJ or 0.0 for part in parts if part.group == "tiles")
        macs = float(self.reads.macs.sum())
        return Costs(
            target=self.target.name,
            workload=self.workload,
            parts=tuple(
                _on_path(
                    parts, plan, self._converting(), self._after_ns(durations), self._recovering()
                )
            ),
            matrices=self._matrices(tiles, durations),
            schedule=plan,
            latency_ns=latency,
            tokens_per_s=tokens / latency * 1e9 if latency else 0.0,
            area_mm2=self._area(),
            efficiency=Efficiency(
                tile_peak_TOPS_W=self._peak(),
                tiles_TOPS_W=2e-3 * macs / tiles if tiles else None,
                system_TOPS_W=2e-3 * macs / known if known else 0.0,
            ),
            missing=tuple(self.missing),
            unit=self.program.model.unit,
        )

    def _share(self, name: str) -> float:
        """Share of the tokens that use a matrix: in a prompt, what makes the next token (no other
        matrix reads from it) is used for the last one only."""
        prompt = self.workload.phase == "prefill" and self.cached > 0
        return 1 / self.workload.context if prompt and name not in self.read_from else 1.0

    def _shares(self) -> Real:
        """[groups]"""
        return np.asarray([self._share(group.members[0]) for group in self.program.groups])

    # Time.

    def _durations(self) -> Durations:
        f = self.figures
        add, hop = f["digital.add_latency_ns"].value, f["links.hop_latency_ns"].value
        links = 2 * hop if self.target.links is not None else 0.0  # to the tiles and from them
        sent = self._sent_ns()
        read_ns = self.product.read_ns
        self.recovering = [
            recovery_time(self.program, group, f, read_ns) for group in self.program.groups
        ]
        return Durations(
            read_ns=read_ns,
            after_read_ns=(
                add * np.maximum(self.reads.slices - 1, 0)
                + links
                + [each.ns for each in self.recovering]
            ).tolist(),
            between_chips_ns=(self._passing_ns() + sent).tolist(),
            link_ns=sent.tolist(),
            share=self._shares().tolist(),
            work=[tuple(self._work_ns(each)) for each in self.program.work],
            waits=self._waits(),
            digital={m.name: self._digital_matrix(m) for m in self.digital},
            resources=self._resources(),
        )

    def _converting(self) -> float:
        """Share of a read that is the converters'."""
        read_ns = self.product.read_ns
        return self.product.converting_ns / read_ns if read_ns else 0.0

    def _after_ns(self, durations: Durations) -> dict[str, float]:
        return {
            group.name: ns
            for group, ns in zip(self.program.groups, durations.after_read_ns, strict=True)
        }

    def _recovering(self) -> dict[str, RecoveryTime]:
        return {
            group.name: each
            for group, each in zip(self.program.groups, self.recovering, strict=True)
        }

    def _resources(self) -> dict[str, Resource]:
        """What is shared besides tiles. Each chip has its units, and each border its link."""
        units = self.chips * int(self.figures["digital.units"].value)
        return {
            UNITS: Resource("digital", units),
            ATTENTION_UNITS: Resource("digital", self.chips),
            MEMORY[ON_CHIP]: Resource("memory", self.chips),
            MEMORY[BESIDE]: Resource("memory"),
            LINKS: Resource("link", max(self.chips - 1, 1)),
        }

    def _placed_on(self) -> tuple[Whole, Whole]:
        """The first and the last chip of each group, [groups]."""
        placed, groups = self.program.placements, len(self.program.groups)
        of_group = self.program.blocks["group"][placed["block"]]
        first, last = np.full(groups, self.chips), np.zeros(groups, np.int64)
        np.minimum.at(first, of_group, placed["chip"])
        np.maximum.at(last, of_group, placed["chip"])
        return first, last

    def _passing_ns(self) -> Real:
        """[groups], how long a first byte is on its way to the furthest chip that reads it."""
        first, last = self._placed_on()
        borders = np.zeros(len(first))
        for feeding, reading, _ in self.flow.edges:
            furthest = max(last[each] for each in reading)
            for each in feeding:
                borders[each] = max(borders[each], furthest - first[each])
        return borders * self.figures["system.link_latency_ns"].value

    def _sent_ns(self) -> Real:
        """[groups], how long its bytes take over the links, border after border."""
        if self.program.placing is None:
            return np.zeros(len(self.program.groups))
        sent = bytes_sent(self.flow, *self._placed_on())
        return sent / self.figures["system.link_bandwidth_GB_s"].value

    def _waits(self) -> dict[str, float]:
        """Reads one after the other for the experts of a token, on average over banks."""
        placing, groups = self.program.placing, self.program.groups
        if placing is None or placing.experts is None:
            return {}
        banks = [index for index, group in enumerate(groups) if group.copies > 1]
        mean = placing.experts.reads / len(set(self.flow.stage[banks].tolist()))
        return {self.program.matrix(groups[index].members[0]).module: mean for index in banks}

    def _work_ns(self, work: Work) -> Iterator[Duration]:
        if work.kind == "look-up":
            return
        if work.kind != "attention":
            name = f"{_NAMES[work.kind]} after {work.after or 'the input'}"
            one = self.figures[_LATENCY[work.kind]].value
            ns = one * self._vectors(work.after)
            yield Duration(name, "digital", ns, work.kind, ((UNITS, ns),))
            return
        positions = self.workload.positions(work.window)
        macs = work.values + work.by_position * positions
        read = work.cached * positions
        products = self._products(f"attention after {work.after}", macs, read, self.cache)
        yield replace(products, work=work.kind)

    def _vectors(self, name: str) -> float:
        """Results of a matrix for a token, on which work is done one after the other."""
        matrix = self.program.by_name.get(name)
        return matrix.per_token if matrix is not None and matrix.copies == 1 else 1.0

    def _digital_matrix(self, matrix: Matrix) -> Duration:
        """Its weights, a byte each, are read once from the memory beside the chips."""
        found = self._products(matrix.name, matrix.macs_per_token, _read_once(matrix), BESIDE)
        return replace(found, share=self._share(matrix.name))

    def _products(self, name: str, macs: float, read_bytes: float, memory: str) -> Duration:
        """On the units of one chip: as long as the longer of computing and reading takes."""
        computing = 2e-3 * macs / self.figures["digital.attention_TOPS"].value
        reading = read_bytes / self.figures[f"{memory}bandwidth_GB_s"].value
        kind: Kind = "memory" if reading > computing else "digital"
        holds = ((ATTENTION_UNITS, computing), (MEMORY[memory], reading))
        return Duration(name, kind, max(reading, computing), holds=holds)

    # Energy.

    def _tiles(self) -> Iterator[Part]:
        product, reads = self.product, self.reads
        converted = float(reads.columns.sum())
        own = product.own_nJ
        if own is not None:
            count = converted / self.target.crossbar.columns
            yield Part(PRODUCTS, "tiles", count, "whole crossbars", own, count * own.value)
        else:
            rows, cells = float(reads.rows.sum()), float(reads.macs.sum())
            yield _row(ROWS, rows * product.drives, "rows driven", product.row_pJ)
            if product.cell_fJ is not None:
                yield _row("cells", cells * product.drives, "cell reads", product.cell_fJ)
        conversions = converted * product.conversions
        if own is None:
            yield _row(CONVERTERS, conversions, "conversions", product.conversion_pJ)
        elif product.converting_ns:  # their energy is in the products
            yield Part(CONVERTERS, "tiles", conversions, "conversions", product.conversion_ns, 0.0)

    def _part(self, name: str, group: Where, count: float, unit: str, key: str) -> Part:
        return _row(name, count, unit, self.figures[key], group)

    def _digital(self) -> Iterator[Part]:
        work = self.program.work
        yield self._part("adding partial sums", "digital", float(self.reads.adds.sum()),
                         "additions", "digital.add_energy_pJ")  # fmt: skip
        if not work:
            self.missing.append("nothing is known of the work between the matrices")
        counts: Counter[str] = Counter()
        for each in work:
            positions = self.workload.positions(each.window)
            counts[each.kind] += each.values + each.by_position * positions  # type: ignore[assignment]
        yield from recovery_parts(self.program, self.figures)
        for kind, key in _PER_VALUE.items():
            yield self._part(_NAMES[kind], "digital", counts[kind], "values", key)
        yield self._part(ATTENTION, "digital", counts["attention"],
                         "multiply-accumulates", "digital.mac_energy_fJ")  # fmt: skip
        if self.digital:
            yield self._part(DIGITAL, "digital", self._digital_macs(), "multiply-accumulates",
                             "digital.mac_energy_fJ")  # fmt: skip

    def _memory(self) -> Iterator[Part]:
        key = f"{self.cache}energy_pJ_B"
        read = sum(w.cached * self.workload.positions(w.window) for w in self.program.work)
        yield self._part(READING, "memory", read, "bytes", key)
        yield self._part(WRITING, "memory", self.cached, "bytes", key)
        if self.digital:
            weights = sum(_read_once(m) * self._share(m.name) for m in self.digital)
            yield self._part(WEIGHTS, "memory", weights, "bytes",
                             f"{BESIDE}energy_pJ_B")  # fmt: skip

    def _digital_macs(self) -> float:
        return sum(m.macs_per_token * self._share(m.name) for m in self.digital)

    def _links(self) -> Iterator[Part]:
        placing = self.program.placing
        if placing is None:
            self.missing.append("nothing is known of the traffic of blocks that were moved")
            return
        if self.target.links is not None:
            if placing.byte_hops is not None:
                hops, unit = placing.byte_hops, "bytes, links passed"
            else:
                hops = float(self.reads.inputs.sum() + self.reads.columns.sum())
                unit = "bytes"
            yield self._part("network of a chip", "links", hops, unit, "links.hop_energy_pJ_bit")
        else:
            self.missing.append(f"{self.target.name} has no network within a chip")
        if self.chips > 1:
            yield self._part("links between chips", "links", placing.border_bytes,
                             "bytes, borders passed", "system.link_energy_pJ_bit")  # fmt: skip

    def _static(self, ns_a_token: float) -> Iterator[Part]:
        own = self.figures.own("chip.static_power_W")
        if own is None:
            self.missing.append(f"the static power of {self.target.name} is not known")
            yield Part("static power", "static", float(self.chips), "chips", None, None)
            return
        yield Part(
            "static power", "static", float(self.chips), "chips", own,
            self.chips * own.value * ns_a_token,
        )  # fmt: skip

    # The rest.

    def _matrices(self, tiles_nJ: float, durations: Durations) -> tuple[OfMatrix, ...]:
        """What the reads of each take; of merged ones each its share of the columns."""
        total = float(self.reads.columns.sum()) or 1.0
        found = []
        for index, group in enumerate(self.program.groups):
            energy = tiles_nJ * float(self.reads.columns[index]) / total
            ns = self.product.read_ns + durations.after_read_ns[index]
            for name in group.members:
                share = self.program.matrix(name).cols / group.cols
                found.append(OfMatrix(name, energy * share, ns))
        return tuple(found)

    def _area(self) -> float | None:
        chip, tile = self.target.chip.area_mm2, self.target.tile.area_mm2
        if chip is not None:
            return self.chips * chip
        if tile is not None:
            self.missing.append("the area is that of the tiles alone")
            return self.chips * self.target.chip.tiles * tile
        self.missing.append(f"the area of {self.target.name} is not known")
        return None

    def _peak(self) -> float | None:
        macs = self.target.crossbar.rows * self.target.crossbar.columns
        whole = self.product.whole_nJ
        return 2e-3 * macs / whole if whole else None


def _read_once(matrix: Matrix) -> float:
    """Weights that a token needs."""
    return matrix.rows * matrix.cols * min(matrix.per_token, matrix.copies)


def _row(name: str, count: float, unit: str, figure: Figure, group: Where = "tiles") -> Part:
    scale = {"pJ": 1e-3, "fJ": 1e-6, "bit": 8e-3, "B": 1e-3}[_ending(figure.key)]
    return Part(name, group, count, unit, figure, count * figure.value * scale)


def _ending(key: str) -> str:
    """Of what a figure is counted in; after it there may be the bits that it is for."""
    name = key.rstrip("0123456789.")
    return name.rpartition("_")[2]


def _on_path(
    parts: list[Part],
    plan: Schedule,
    converting: float,
    after_ns: Mapping[str, float],
    recovering: Mapping[str, RecoveryTime],
) -> Iterator[Part]:
    """The parts with the time that the critical path spends in each.

    `converting` is the converters' share of a read; `after_ns` what follows the reads of a group,
    of which `recovering` has what recovery takes.
    """
    spent: Counter[str] = Counter()
    ends = {step.name: step.end_ns for step in plan.steps}
    for step in plan.critical_path:
        ns = step.ns
        whole = step.kind == "tile" and step.end_ns == ends[step.name]
        if step.kind == "tile" and converting:
            reading = max(ns - (after_ns[step.name] if whole else 0.0), 0.0)
            spent[CONVERTERS] += reading * converting  # type: ignore[assignment]
            ns -= reading * converting
        if whole:
            spent[ROTATING] += recovering[step.name].rotating_ns  # type: ignore[assignment]
            spent[CORRECTING] += recovering[step.name].correcting_ns  # type: ignore[assignment]
            ns = max(0.0, ns - recovering[step.name].ns)
        spent[_part_of(step)] += ns  # type: ignore[assignment]
    for part in parts:
        ns = spent.pop(_OWNERS.get(part.name, part.name), 0.0)
        yield replace(part, latency_ns=ns) if ns else part


_OF_KIND = {"tile": PRODUCTS, "link": "links between chips"}
_OWNERS = {ROWS: PRODUCTS}
"""Where products are counted in several parts, the first has what is not the converters'."""


def _part_of(step: Step) -> str:
    if step.kind in _OF_KIND:
        return _OF_KIND[step.kind]
    if step.work == "attention":
        return READING if step.kind == "memory" else ATTENTION
    if step.work is None:
        return WEIGHTS if step.kind == "memory" else DIGITAL
    return _NAMES[step.work]
