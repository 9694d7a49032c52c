from __future__ import annotations

import subprocess
import sys
import warnings
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from consumer.core.audio.samples import to_float
from consumer.detection.silero import CLIP_SAMPLES, Network, fresh_state

SAMPLES = Path(__file__).parents[3] / "samples"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def oracle() -> Any:
    """Return silero's own wrapper, which scores one window of one stream at a time."""
    path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(str(path)).eval()


def clips(name: str, seconds: float) -> np.ndarray:
    """Return windows of a sample clip with the 64 samples before each, [n, 576]."""
    speech, rate = soundfile.read(SAMPLES / name, dtype="int16")
    audio = np.concatenate((np.zeros(64, np.float32), to_float(speech)))
    count = int(seconds * rate) // 512
    return np.stack([audio[index * 512 : index * 512 + CLIP_SAMPLES] for index in range(count)])


def alone(network: Network, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, states = network.score(windows, [len(windows)], fresh_state()[None])
    return probabilities, states[0]


def test_probabilities_equal_those_of_silero(network: Network, oracle: Any):
    windows = clips("en_jfk.flac", 4)
    oracle.reset_states()
    with torch.inference_mode():
        expected = [
            oracle(torch.from_numpy(window[None, 64:]), 16_000).item() for window in windows
        ]
    assert np.allclose(alone(network, windows)[0], expected, atol=1e-5)
    assert max(expected) > 0.9
    assert min(expected) < 0.1


def test_streams_of_any_length_are_scored_in_one_call(network: Network):
    streams = [clips("en_jfk.flac", 1), clips("en_ljspeech.flac", 3), clips("en_jfk.flac", 2)]
    probabilities, states = network.score(
        np.concatenate(streams), [len(each) for each in streams], np.stack([fresh_state()] * 3)
    )
    expected = [alone(network, each) for each in streams]
    assert np.allclose(probabilities, np.concatenate([each for each, _ in expected]), atol=1e-4)
    assert np.allclose(states, np.stack([state for _, state in expected]), atol=1e-3)


def test_a_backlog_longer_than_one_encoder_pass_keeps_its_order(network: Network):
    windows = clips("en_jfk.flac", 10)
    halves = np.array_split(windows, 2)
    first, state = alone(network, halves[0])
    second, _ = network.score(halves[1], [len(halves[1])], state[None])
    assert len(windows) > 256
    assert np.allclose(alone(network, windows)[0], np.concatenate((first, second)), atol=1e-4)


def test_loading_does_not_change_the_threads_of_torch():
    source = """
import sys, torch
from consumer.detection.silero import Network
threads = torch.get_num_threads()
Network()
assert torch.get_num_threads() == threads
assert "silero_vad" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", source], check=True)
