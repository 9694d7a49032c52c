from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_whisper import checkpoint_of, small_whisper

from consumer.core.scheduling.capacity import BatchLimits
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.inference.device import Device
from consumer.inference.layers import Linear, compiled_rows, pad_rows, row_counts
from consumer.inference.whisper_engine import WhisperTranscriber

pytestmark = pytest.mark.usefixtures("one_thread")

BF16 = Device(torch.device("cpu"), torch.bfloat16, "processor", "for tests")
INT8 = replace(BF16, int8=True)


@given(st.integers(1, 5_000))
def test_rows_are_rounded_up(rows: int):
    compiled = compiled_rows(rows)
    assert rows <= compiled < rows + 256
    assert compiled_rows(compiled) == compiled


@given(st.integers(1, 16))
def test_the_rows_of_a_decoder_step_are_not_padded(rows: int):
    assert compiled_rows(rows) == rows


def test_the_encoder_has_few_row_counts():
    assert len(row_counts(2048, 64)) == 20
    assert row_counts(100) == [*range(1, 17), 32, 64, 128]


def test_rows_are_padded_with_zeros():
    padded = pad_rows(torch.ones(40, 2))
    assert (len(padded), padded.sum()) == (64, 80)
    complete = torch.ones(64, 2)
    assert pad_rows(complete) is complete


@pytest.mark.parametrize("shape", [(40,), (3, 30), (5, 7, 20)])
@torch.inference_mode()
def test_a_product_of_any_number_of_rows_equals_torchs(shape: tuple[int, ...]):
    torch.manual_seed(0)
    weight, bias = torch.randn(96, 64).bfloat16(), torch.randn(96).bfloat16()
    x = torch.randn(*shape, 64).bfloat16()
    expected = torch.nn.functional.linear(x.float(), weight.float(), bias.float())
    got = Linear(weight, bias)(x)
    torch.testing.assert_close(got.float(), expected, rtol=2e-2, atol=2e-1)


@pytest.mark.parametrize("device", [BF16, INT8])
def test_no_product_is_compiled_after_warm_up(device: Device, capfd: pytest.CaptureFixture[str]):
    """oneDNN logs each compilation as a cache miss."""
    engine = WhisperTranscriber(
        checkpoint_of(small_whisper()), device, fold=True, limits=BatchLimits(5, 8192)
    )
    engine.warm_up()
    random = torch.Generator().manual_seed(0)
    clips = [
        DecodeRequest(torch.randn(length, generator=random).numpy(), ("en",)[:known], words=True)
        for known, length in enumerate((90_000, 170_000, 333_333))
    ]
    capfd.readouterr()
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON_CREATION):
        for count in range(1, len(clips) + 1):
            engine.transcribe(clips[:count])
    assert "create:cache_miss" not in capfd.readouterr().out
