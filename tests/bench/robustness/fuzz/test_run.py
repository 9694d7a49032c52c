"""Every parser on a small budget; `python -m bench fuzz` is the long run."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import crashing_parsers
import pytest

from bench.framework import measure
from bench.robustness.fuzz import run
from bench.robustness.fuzz.mutation import mutated
from bench.robustness.fuzz.supervisor import FindingKind, FuzzFinding, FuzzResult, fuzz
from bench.robustness.fuzz.targets import TARGETS, joined, parted
from consumer.codecs.decode import decode
from consumer.kafka.state_records import decode_states
from schemas.audio import MAX_RECORD_BYTES, AudioCodec
from schemas.codec import WireRecord

NATIVE = [name for name, target in TARGETS.items() if target.native]
PURE = [name for name, target in TARGETS.items() if not target.native]


@pytest.mark.parametrize("name", PURE)
def test_a_parser_in_python_raises_only_what_it_may(name: str) -> None:
    target, rng = TARGETS[name], Random(7)
    corpus = target.corpus()
    for _ in range(2_000):
        target.run(mutated(rng, corpus, MAX_RECORD_BYTES))


@pytest.mark.parametrize("name", TARGETS)
def test_a_corpus_is_the_same_every_time(name: str) -> None:
    assert TARGETS[name].corpus() == TARGETS[name].corpus() != []


@pytest.mark.parametrize("name", NATIVE)
def test_the_corpus_of_a_native_decoder_can_be_decoded(name: str) -> None:
    for data in TARGETS[name].corpus():
        assert len(decode(data, AudioCodec(name), None, None).samples) > 0


def test_the_corpus_of_state_records_can_be_decoded() -> None:
    stream, partition = TARGETS["state"].corpus()
    state, streams = decode_states("g", "t", [(b"S|g|t|call-1", stream), (b"P|g|t", partition)])
    assert state is not None
    assert streams["call-1"].decided_offsets == (6,)


@pytest.mark.parametrize("name", NATIVE)
def test_a_native_decoder_survives(name: str) -> None:
    result = fuzz(name, seed=7, seconds=60, inputs=300)
    assert result.finding is None
    assert result.inputs == 300


@pytest.mark.parametrize(
    ("name", "kind", "details"),
    [
        ("crash", FindingKind.CRASH, "SIGABRT"),
        ("hang", FindingKind.HANG, "did not return"),
        ("allocate", FindingKind.MEMORY, "MemoryError"),
        ("swell", FindingKind.MEMORY, "MB more"),
        ("fail", FindingKind.WRONG, "KeyError: 'no such thing'"),
    ],
)
def test_what_breaks_is_found_with_its_input(
    name: str, kind: FindingKind, details: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(crashing_parsers.__file__).parent))
    inputs = 1 if name == "swell" else 100
    hang_s = 0.5 if name == "hang" else 30.0
    result = fuzz(name, seed=1, seconds=60, inputs=inputs, module="crashing_parsers", hang_s=hang_s)
    assert result.finding is not None
    assert result.finding.kind is kind
    assert details in result.finding.details
    assert result.finding.data != crashing_parsers.VALID
    assert result.inputs == 1


def measured(tmp_path: Path) -> dict:
    file, findings = tmp_path / "figures.json", tmp_path / "found"
    options = ["--seconds", "0.2", "--json", str(file), "--findings", str(findings)]
    assert measure("fuzz", run.__name__, ["raw", *options]) == 0
    return json.loads(file.read_text("utf-8"))


def test_the_command_writes_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(tmp_path)
    assert "nothing found" in capsys.readouterr().out
    assert found["figures"]["raw inputs"] > 0
    assert [check["ok"] for check in found["checks"]] == [True]
    assert not (tmp_path / "found").exists()


def test_a_finding_is_a_failed_check_and_its_input_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = FuzzFinding(FindingKind.CRASH, "SIGSEGV", b"input")
    monkeypatch.setattr(run, "fuzz", lambda *_, **__: FuzzResult(3, None, finding))
    assert [check["ok"] for check in measured(tmp_path)["checks"]] == [False]
    assert "crash: SIGSEGV" in capsys.readouterr().out
    (kept,) = (tmp_path / "found").iterdir()
    assert kept.read_bytes() == b"input"


def test_an_unknown_target_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as ended:
        measure("fuzz", run.__name__, ["jpeg"])
    assert ended.value.code == 2


def test_a_record_is_one_byte_string_and_back() -> None:
    record = WireRecord(b"key", b"value", [("a", b"1"), ("b", b"")])
    assert parted(joined(record)) == (b"key", [("a", b"1"), ("b", b"")], b"value")
    assert parted(b"no separator") == (b"", [], b"no separator")
