"""Every parser on a small budget; `python -m bench fuzz` is the long run."""

from __future__ import annotations

from pathlib import Path
from random import Random

import orjson
import planted_parsers
import pytest

from bench.fuzz import run
from bench.fuzz.mutation import mutated
from bench.fuzz.targets import TARGETS, joined, parted
from bench.fuzz.watch import Kind, fuzz
from consumer.codecs.decode import decode
from schemas.audio import MAX_RECORD_BYTES, AudioCodec
from schemas.codec import WireRecord

NATIVE = [name for name, target in TARGETS.items() if target.native]
PURE = [name for name, target in TARGETS.items() if not target.native]


@pytest.mark.parametrize("name", PURE)
def test_a_parser_of_ours_raises_only_what_it_may(name: str) -> None:
    target, rng = TARGETS[name], Random(7)
    corpus = target.corpus()
    for _ in range(2_000):
        target.run(mutated(rng, corpus, MAX_RECORD_BYTES))


@pytest.mark.parametrize("name", TARGETS)
def test_a_corpus_is_the_same_every_time(name: str) -> None:
    assert TARGETS[name].corpus() == TARGETS[name].corpus() != []


@pytest.mark.parametrize("name", NATIVE)
def test_what_native_decoders_begin_with_is_sound(name: str) -> None:
    for data in TARGETS[name].corpus():
        assert len(decode(data, AudioCodec(name), None, None).samples) > 0


@pytest.mark.parametrize("name", NATIVE)
def test_a_native_decoder_survives(name: str) -> None:
    result = fuzz(name, seed=7, seconds=60, inputs=300)
    assert result.finding is None
    assert result.inputs == 300


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("crash", Kind.CRASH, "SIGABRT"),
        ("hang", Kind.HANG, "did not return"),
        ("allocate", Kind.MEMORY, "MemoryError"),
        ("swell", Kind.MEMORY, "MB more"),
        ("fail", Kind.WRONG, "KeyError: 'no such thing'"),
    ],
)
def test_what_breaks_is_found_with_its_input(
    name: str, kind: Kind, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(planted_parsers.__file__).parent))
    inputs = 1 if name == "swell" else 100
    hang_s = 0.5 if name == "hang" else 30.0
    result = fuzz(name, seed=1, seconds=60, inputs=inputs, module="planted_parsers", hang_s=hang_s)
    assert result.finding is not None
    assert result.finding.kind is kind
    assert told in result.finding.told
    assert result.finding.data != planted_parsers.VALID
    assert result.inputs == 1


def test_the_command_keeps_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    options = ["--seconds", "0.2", "--json", str(figures), "--findings", str(tmp_path / "found")]
    assert run.main(["raw", *options]) == 0
    assert "nothing found" in capsys.readouterr().out
    told = orjson.loads(figures.read_bytes())["raw"]
    assert told["inputs"] > 0
    assert told["finding"] is None
    assert not (tmp_path / "found").exists()


def test_a_target_that_is_none_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as ended:
        run.main(["jpeg"])
    assert ended.value.code == 2


def test_a_record_is_one_piece_of_bytes_and_back() -> None:
    record = WireRecord(b"key", b"value", [("a", b"1"), ("b", b"")])
    assert parted(joined(record)) == (b"key", [("a", b"1"), ("b", b"")], b"value")
    assert parted(b"no separator") == (b"", [], b"no separator")
