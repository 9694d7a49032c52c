from __future__ import annotations

from pathlib import Path

import pytest
from small_whisper import checkpoint_of, small_whisper

from bench.engine.gpu_once import kit
from bench.engine.gpu_once.packed_weights import pack, unpack
from consumer.errors import ConfigError
from consumer.inference import checkpoint

LOCK = Path(__file__).parents[3] / "locks/dev.txt"


def test_packed_weights_are_the_checkpoint_in_a_few_bits(tmp_path: Path):
    model = checkpoint_of(small_whisper())
    pack(model, tmp_path / "small.npz")
    unpack(tmp_path / "small.npz", tmp_path / "small.pt")
    again = checkpoint.load(tmp_path / "small.pt")
    assert (again.dims, again.state.keys()) == (model.dims, model.state.keys())
    for name, tensor in model.state.items():
        peak = tensor.abs().flatten(1).amax(1) if tensor.dim() > 1 else tensor.abs().max()
        difference = (again.state[name].float() - tensor).abs()
        assert difference.max() <= peak.max() / 50, name
    parameters = sum(tensor.numel() for tensor in model.state.values())
    assert (tmp_path / "small.npz").stat().st_size < parameters


def test_packages_that_the_machine_has_are_not_carried():
    distributions = {
        "whisper": ["openai-whisper"],
        "torch": ["torch"],
        "numba": ["numba"],
        "typing_extensions": ["typing_extensions"],
        "bench": ["streamscribe"],
    }
    names = kit.needed({*distributions, "os"}, distributions, ["numba"])
    assert names == ["openai-whisper", "typing-extensions"]


def test_wheels_are_those_of_the_lock_with_their_hashes():
    (line,) = kit.lock_lines(LOCK.read_text("utf-8"), ["soxr"]).values()
    assert line.startswith("soxr==")
    assert "--hash=sha256:" in line
    with pytest.raises(ConfigError, match="not in the lock: no-such-package; name"):
        kit.lock_lines(LOCK.read_text("utf-8"), ["no-such-package", "soxr"])


def test_a_wheel_that_does_not_exist_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ConfigError, match="pip download: ERROR"):
        kit.fetch({"soxr": "soxr==0.0.1 --hash=sha256:" + "0" * 64 + "\n"}, "3.12", tmp_path)
    assert [*tmp_path.iterdir()] == []
