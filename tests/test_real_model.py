"""SmolLM2-135M from its package, end to end. Skipped, loudly, where it is not installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import afmc
from afmc import CompiledModel
from afmc.data.text import Text, read_text
from afmc.verifier import verify

if TYPE_CHECKING:
    from afmc.frontends.loaded import Loaded

pytestmark = pytest.mark.real_model

DATA = Path(os.environ.get("AFMC_DATA", Path(__file__).parents[2] / "shared" / "data"))
PERFECT_CONVERTERS = {"input.bits": None, "output.bits": None}
PERFECT_WIRES = {"crossbar.wire_row_ohm": None, "crossbar.wire_column_ohm": None}
NO_FAULTS = {"device.stuck_off_rate": 0.0}


@pytest.fixture(scope="session")
def wikitext() -> Text:
    path = DATA / "wikitext2-test.raw"
    if not path.exists():
        pytest.skip(f"NOT MEASURED ON WIKITEXT-2: {path} is absent; set AFMC_DATA to its folder")
    return read_text(path, "validation")


def on(
    smollm2: Loaded, target: str, settings: dict[str, object] | None = None, **options: object
) -> CompiledModel:
    return afmc.compile(
        smollm2.module,
        target,
        tokenizer=smollm2.tokenizer,
        settings=settings,
        calibration_tokens=1024,
        level=0,
        **options,  # type: ignore[arg-type]
    )


def test_tiles_without_merging_and_with_it(smollm2: Loaded) -> None:
    model = on(smollm2, "ideal-512", {"merge.enabled": False})
    found = model.inspect()
    assert (found["matrices_analog"], found["matrices_digital"]) == (211, 0)
    assert found["blocks"] == found["tiles_used"] == found["tiles_lower_bound"] == 1092
    assert (found["solver_status"], found["gap"]) == ("OPTIMAL", 0)
    assert found["macs_analog_fraction"] == 1
    assert found["weights_analog"] == 134_479_872
    total = found["weights_analog"] + found["weights_digital"] - found["weights_on_both_sides"]
    assert total == 134_515_008
    look_up = [r for r in found["remainder"] if r["operation"] == "aten.embedding.default"]
    assert [r["reason"] for r in look_up] == ["look-up"]
    levers = {lever["change"]: lever["tiles"] for lever in found["levers"]}
    assert levers["--set merge.enabled=auto"] == 972
    assert levers["--set allocate.rule=parallel"] == 942
    assert levers["--set allocate.rule=serial"] == 513
    assert min(levers.values()) <= 750


def test_perplexity_on_wikitext(smollm2: Loaded, wikitext: Text) -> None:
    """Digital as known, perfect tiles the same, converters worse, noise worse still."""
    ideal = on(smollm2, "ideal-512").validate(wikitext, tokens=4096, instances=1)
    assert ideal.scored_tokens == 4 * 1023
    assert ideal.digital_perplexity == pytest.approx(23.24, abs=0.02)
    assert ideal.perplexity.mean == pytest.approx(ideal.digital_perplexity, rel=1e-3)
    assert ideal.kl_divergence.mean == pytest.approx(0, abs=1e-5)

    model = on(smollm2, "hermes-64")
    results = {
        name: model.validate(wikitext, tokens=1024, instances=2, settings=settings)
        for name, settings in (
            ("converters", {"device.noise": None} | NO_FAULTS | PERFECT_WIRES),
            ("cells", PERFECT_CONVERTERS | NO_FAULTS | PERFECT_WIRES),
            ("all", {}),
        )
    }
    digital = results["all"].digital_perplexity
    converters, cells, everything = (results[name].perplexity.mean for name in results)
    assert digital < converters < everything
    assert digital < cells < everything
    assert cells < 3 * digital  # 1.9 times, measured over 4 x 1024 tokens
    assert results["converters"].perplexity.std == pytest.approx(0, abs=1e-9)
    assert (results["all"].perplexity.std or 0) > 0


@pytest.mark.usefixtures("smollm2")
def test_from_compile_to_verify(tmp_path: Path) -> None:
    """By name, on perfect tiles: text and perplexity are the digital model's own."""
    said: list[str] = []
    model = afmc.compile(
        "smollm2-135m", "ideal-512", progress=lambda what, *_: said.append(what), level=0
    )
    assert not any("converting" in line for line in said)  # the fixture did, once
    found = model.inspect()
    assert (found["matrices_analog"], found["matrices_digital"]) == (211, 0)
    assert (found["tiles_used"], found["solver_status"]) == (972, "OPTIMAL")
    prompt = "The capital of France is"
    text = model.run(prompt, max_tokens=6)
    assert text == model.run(prompt, max_tokens=6, digital=True)
    assert "Paris" in text
    scored = model.validate(tokens=64, window=64, instances=1)
    assert scored.scored_tokens == 63
    assert scored.perplexity.mean == pytest.approx(scored.digital_perplexity, rel=1e-3)
    assert verify(model.save(tmp_path / "out")).passed
