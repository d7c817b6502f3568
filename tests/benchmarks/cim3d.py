"""IBM's 3D-CiM simulator with its mappings and with ours: nanoseconds, by its own scheduler.

    git clone https://github.com/IBM/3D-CiM-LLM-Inference-Simulator  # at 0bef55f
    pip install matplotlib tqdm                                      # it needs them
    python tests/benchmarks/cim3d.py --repo 3D-CiM-LLM-Inference-Simulator [--case NAME]...

Models, tracing, scheduler and every constant are the simulator's. For each case its strategies map
the model; then our passes map the same matrices, and the result is handed over by its
`set_mapping`. Ours is one setting for all: the default options of `place`. Cases:

gpt2-14x64, gpt2-28x32: GPT-2 (12 layers, 768 wide, 50257 words), 2 sequences of 16 tokens.
moe-10x21: the model and accelerator of its tests/model_tests/test_encoder_decoder_moe.py.
moe-16x21: those of its tests/test_config/test_model_sram.py.
moe-16x21-long: those of its tests/mapping_tests/test_mapping_encoder_decoder_moe.py.

Which experts a token goes to is drawn by the simulator, so these are means over several draws, the
same for each mapping. `bound` is the work of all tiles spread evenly; nothing can be faster.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tables import Table, add_option

from afmc.compiler.pipeline import run_passes
from afmc.passes.allocate import Allocate
from afmc.passes.merge import Merge
from afmc.passes.place import Place
from afmc.passes.split import Split
from afmc.program.model import Matrix, Model
from afmc.program.program import Program
from afmc.targets import load_target

TIER = 512
MVM_NS = 100
HEADINGS = ("case", "mapping", "ns", "above the bound", "mapped in s")
BASIS = (
    "Nanoseconds and the bound: derived, by the simulator's scheduler and constants. Seconds: "
    "measured."
)


@dataclass(frozen=True)
class Case:
    tiles: int
    tiers: int
    wide: int
    feedforward: int
    words: int
    sequences: int
    decoder: int
    encoder: int = 0
    heads: int = 8
    context: int = 0
    start: int = 1
    end: int = 2
    longest: int = 4
    experts: int = 0
    chosen: int = 0
    frequency: int = 2
    draws: int = 1


def _moe(tiles: int, wide: int, feedforward: int, **more: int) -> Case:
    return Case(
        tiles,
        21,
        wide,
        feedforward,
        2048,
        decoder=2,
        encoder=2,
        experts=3,
        chosen=2,
        draws=5,
        **more,
    )


_GPT2 = {"words": 50257, "sequences": 2, "decoder": 12, "heads": 12, "longest": 1024}
CASES = {
    "gpt2-14x64": Case(14, 64, 768, 3072, start=16, end=17, **_GPT2),
    "gpt2-28x32": Case(28, 32, 768, 3072, start=16, end=17, **_GPT2),
    "moe-10x21": _moe(10, 512, 512, sequences=2, context=4, start=2, end=4),
    "moe-16x21": _moe(16, 768, 3072, sequences=1, context=4, start=2, end=4),
    "moe-16x21-long": _moe(16, 768, 3072, sequences=1, context=10, start=1, end=4, longest=10),
}


class Simulator:
    """What is used of the clone."""

    def __init__(self, repo: Path) -> None:
        source = repo / "src"
        if not (source / "threedsim").is_dir():
            raise SystemExit(f"{repo} is not a clone of IBM/3D-CiM-LLM-Inference-Simulator.")
        sys.path.insert(0, str(source))
        import threedsim.accelerator
        import threedsim.inference
        import threedsim.mapping
        import threedsim.models
        import threedsim.modules
        import threedsim.modules.base
        import threedsim.utils

        self.it: Any = threedsim
        self.bound = 0.0

    def model(self, case: Case) -> Any:
        it = self.it
        config = it.accelerator.AcceleratorConfig(
            tiles=case.tiles, tiers=case.tiers, tier_shape=(TIER, TIER)
        )
        accelerator = it.accelerator.Accelerator(config, device="meta")
        layer = {
            "d_model": case.wide,
            "nhead": case.heads,
            "dim_feedforward": case.feedforward,
        }
        embedding = {
            "vocab_size": case.words,
            "embedding_dim": case.wide,
            "max_seq_length": case.longest,
        }
        if case.encoder:
            model = it.models.EncoderDecoderTransformer(
                it.modules.TransformerEncoderLayer,
                it.modules.TransformerDecoderLayer,
                num_encoder_layers=case.encoder,
                num_decoder_layers=case.decoder,
                encoder_layer_kwargs=dict(layer),
                decoder_layer_kwargs=dict(layer),
                embedding_layer_kwargs=embedding,
                moe_kwargs={
                    "frequency": case.frequency,
                    "num_experts": case.experts,
                    "k": case.chosen,
                },
                share_embedding=False,
                device="meta",
            )
        else:
            model = it.models.DecoderOnlyTransformer(
                it.modules.TransformerDecoderLayer,
                num_layers=case.decoder,
                decoder_layer_kwargs=layer,
                embedding_layer_kwargs=embedding,
                device="meta",
            )
        it.modules.base.assign_acc(model, accelerator)
        return model

    def strategies(self) -> list[str]:
        return [each.name for each in self.it.mapping.Strategy]

    def map(self, model: Any, case: Case, strategy: str) -> None:
        """By one of its own strategies, as its tests call it."""
        mapping = self.it.mapping
        chosen = mapping.MapStrategy(
            strategy=mapping.Strategy[strategy], split_ffn=True, stack_embedding=True
        )
        count = max(case.experts, 1)
        density = torch.rand(count, count).numpy()
        mapping.Mapper(model.accelerator, model, chosen, density).map_network()

    def nanoseconds(self, model: Any, case: Case, draw: int) -> float:
        it = self.it
        it.modules.base.fill_name_fields(model)
        it.modules.base.make_traceable(model, is_traceable=True)
        it.utils.set_seed(1000 + draw)
        if case.encoder:
            arguments = {
                "context_len": case.context,
                "gen_start_len": case.start,
                "gen_target_len": case.end,
            }
            traced = it.inference.trace_model(model, case.sequences, concrete_args=arguments)
        else:
            it.modules.base.make_use_linear(model, use_linear=True)
            traced = it.inference.fast_trace_decoder(
                model, start_len=case.start, target_len=case.end, bsz=case.sequences
            )
        reads = sum("tier_linear" in node.name for node in traced.graph.nodes)
        self.bound = MVM_NS * reads / case.tiles
        result = it.inference.schedule_execution(
            traced.graph,
            accelerator=model.accelerator,
            copy_and_cleanup_graph=bool(case.encoder),
            communication=True,
            save_memory=False,
            save_peak_memory=False,
        )
        return float(result[0])


@dataclass
class _Chain:
    """The simulator's modules as matrices: rows are inputs, as in ours."""

    matrices: list[Matrix]

    def add(self, name: str, module: Any, sources: list[str], use: float = 1.0) -> list[str]:
        rows, cols = module.weight.shape
        self.matrices.append(
            Matrix(
                name,
                rows,
                cols,
                "+".join(sources) or name,
                per_token=use,
                module=name,
                sources=tuple(sources),
            )
        )
        return [name]

    def bank(self, name: str, part: str, moe: Any, sources: list[str]) -> list[str]:
        first = getattr(moe.experts[0], part)
        rows, cols = first.weight.shape
        self.matrices.append(
            Matrix(
                f"{name}.{part}",
                rows,
                cols,
                f"{name}.{part}.in",
                copies=moe.num_experts,
                per_token=moe.k,
                module=name,
                sources=tuple(sources),
            )
        )
        return [f"{name}.{part}"]


def program_of(model: Any, name: str) -> Program:
    """The matrices that it puts on tiles, embeddings among them, and how data flows."""
    chain = _Chain([])
    ends: list[str] = []
    for stack in ("encoder_stack", "decoder_stack"):
        if hasattr(model, stack):
            ends = _stack(chain, stack, getattr(model, stack), ends)
    chain.add("lm_head", model.lm_head, ends)
    weights = sum(matrix.weights for matrix in chain.matrices)
    return Program(Model(name, "3D-CiM", "0" * 64, weights), tuple(chain.matrices), digital={})


def _stack(chain: _Chain, stack: str, modules: Any, memory: list[str]) -> list[str]:
    stream: list[str] = []
    last: list[str] = []
    for number, layer in enumerate(modules.layers):
        at = f"{stack}.layers.{number}"

        def put(part: str, sources: list[str], layer: Any = layer, at: str = at) -> list[str]:
            return chain.add(f"{at}.{part}", getattr(layer, part), sources)

        if number == 0:
            for part in ("token_embedding", "pos_embedding"):
                module = getattr(layer, part)
                pieces = -(-module.weight.shape[0] // TIER)  # a token reads one of them
                last += chain.add(f"{at}.{part}", module, [], use=1 / pieces)
            last = [name for part in "qkv" for name in put(f"{part}_proj_in", last)]
        cross = hasattr(layer, "q_proj_cross")
        if cross:
            sides = [name for part in "kv" for name in put(f"{part}_proj_cross", memory)]
        last = put("out_proj", last)
        if cross:
            last = put("out_proj_cross", [*put("q_proj_cross", last), *sides])
        if hasattr(layer, "moe_layer"):
            moe = layer.moe_layer
            router = chain.add(f"{at}.moe_layer.router", moe.router, last)
            first = chain.bank(f"{at}.moe_layer", "ffn1", moe, router)
            last = chain.bank(f"{at}.moe_layer", "ffn2", moe, first)
        else:
            last = put("ffn2", put("ffn1", last))
        if hasattr(layer, "q_proj_out"):
            last = [name for part in "qkv" for name in put(f"{part}_proj_out", last)]
    return stream or last


def hand_over(model: Any, mapped: Program, tiers: int) -> None:
    """The placements as the simulator wants them: tile, tier, use, rows, columns of each block."""
    blocks = mapped.blocks[mapped.placements["block"]]
    grids: dict[str, dict[tuple[int, int], tuple[int, int, float, int, int]]] = {}
    for block, place in zip(blocks, mapped.placements, strict=True):
        group = mapped.groups[block["group"]]
        name = group.members[0]
        if group.copies > 1:
            bank, part = name.rsplit(".", 1)
            name = f"{bank}.experts.{block['copy']}.{part}"
        rows, cols = int(block["rows"]), int(block["cols"])
        where = (int(block["row"]) // TIER, int(block["col"]) // TIER)
        use = rows * cols / TIER**2
        grids.setdefault(name, {})[where] = (
            int(place["tile"]),
            int(place["tier"]),
            use,
            rows,
            cols,
        )
    for name, grid in grids.items():
        high, wide = (1 + max(each[k] for each in grid) for k in (0, 1))
        mapping = [[grid[i, j] for j in range(wide)] for i in range(high)]
        model.get_submodule(name).set_mapping(mapping)


def ours(model: Any, case: Case, place: Place) -> None:
    target = load_target(
        "ideal-512",
        {"chip.tiles": case.tiles, "tile.tiers": case.tiers, "tile.co_location": "exclusive"},
    )
    start = program_of(model, "3d-cim")
    mapped = run_passes(start, target, [Merge(enabled=False), Split(), Allocate(), place])
    hand_over(model, mapped, case.tiers)


def measured(simulator: Simulator, case: Case, how: str) -> tuple[float, float, float]:
    """Nanoseconds, mean over draws; the bound; seconds that mapping took, ours or theirs."""
    total = bound = seconds = 0.0
    for draw in range(case.draws):
        simulator.it.utils.set_seed(draw)
        with _quiet():
            model = simulator.model(case)
            begun = time.perf_counter()
            if how.startswith("afmc"):
                ours(model, case, Place(strategy="in_order" if "in order" in how else "balanced"))
            else:
                simulator.map(model, case, how)
            seconds += time.perf_counter() - begun
            total += simulator.nanoseconds(model, case, draw)
        bound += simulator.bound
    return total / case.draws, bound / case.draws, seconds / case.draws


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--case", action="append", choices=sorted(CASES))
    parser.add_argument("--draws", type=int, help="of experts; default: 5")
    parser.add_argument("--ours-only", action="store_true")
    add_option(parser)
    options = parser.parse_args()
    simulator = Simulator(options.repo)
    theirs = [] if options.ours_only else simulator.strategies()
    table = Table("placement", "cim3d", HEADINGS, BASIS, words=2)
    table.begin()
    for name in options.case or CASES:
        case = CASES[name]
        if options.draws and case.experts:
            case = replace(case, draws=options.draws)
        for how in (*theirs, "afmc in order", "afmc"):
            if how == "GREEDY_TOP2" and not case.experts:
                continue  # it orders experts
            nanoseconds, bound, seconds = measured(simulator, case, how)
            above = f"{100 * (nanoseconds / bound - 1):.1f} %"
            table.add(name, how, f"{nanoseconds:,.0f}", above, f"{seconds:.2f}")
    table.finish(options.write)


if __name__ == "__main__":
    main()
