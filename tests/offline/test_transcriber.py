"""The offline Python API with real Whisper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import structlog
from containers import SAMPLES, speech

from consumer.errors import ConfigError
from producer.errors import MediaError
from streamscribe import IncompleteTranscriptError, Transcriber

JFK = SAMPLES / "en_jfk.flac"


@pytest.fixture(scope="module")
def transcriber(tiny_en_weights: Path):
    with Transcriber(str(tiny_en_weights)) as transcriber:
        yield transcriber


def test_a_file_has_text_segments_and_words(transcriber: Transcriber):
    transcript = transcriber.transcribe(JFK)
    assert "country" in transcript.text
    assert transcript.seconds == 11.0
    assert transcript.language == "en"
    assert [word.text.strip(" ,.!") for word in transcript.words][-1] == "country"
    for segment in transcript.segments:
        assert 0 <= segment.start_s < segment.end_s <= 11.0


def test_samples_have_the_text_of_their_file(transcriber: Transcriber):
    expected = transcriber.transcribe(JFK).text
    samples, rate = speech()
    floats = samples / np.float32(32_768)
    stereo = np.stack([samples, samples], axis=1)
    transcripts = transcriber.transcribe_all([samples, floats, stereo], rate=rate)
    assert [transcript.text for transcript in transcripts] == [expected] * 3


def test_many_come_back_in_order(transcriber: Transcriber):
    names = [JFK, SAMPLES / "en_ljspeech.flac"] * 6
    assert [each.name for each in transcriber.transcribe_all(names)] == list(map(str, names))


def test_an_incomplete_file_raises_with_the_transcript_of_the_rest(
    transcriber: Transcriber, tmp_path: Path
):
    path = tmp_path / "cut.wav"
    soundfile.write(path, *speech())
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(IncompleteTranscriptError, match="is incomplete") as raised:
        transcriber.transcribe(path)
    assert "Americans" in raised.value.transcript.text


def test_what_cannot_be_transcribed_raises_and_the_next_one_is(
    transcriber: Transcriber, tmp_path: Path
):
    with pytest.raises(MediaError, match=r"missing\.wav: No such file"):
        transcriber.transcribe(tmp_path / "missing.wav")
    with pytest.raises(ValueError, match="no language 'xx'"):
        transcriber.transcribe(JFK, language="xx")
    with pytest.raises(ValueError, match="samples of int64"):
        transcriber.transcribe(np.arange(10))
    with pytest.raises(ValueError, match="prompt"):
        transcriber.transcribe(JFK, prompt="a" * 2_000)
    assert transcriber.transcribe(JFK).text


def test_a_model_that_is_missing_is_reported_on_entering(tmp_path: Path):
    with pytest.raises(ConfigError), Transcriber(str(tmp_path / "missing.pt")):
        pass


def test_the_log_of_the_program_is_as_before_at_the_end(tmp_path: Path, tiny_en_weights: Path):
    structlog.reset_defaults()
    with Transcriber(str(tiny_en_weights)):
        assert structlog.is_configured()
    assert not structlog.is_configured()
    with pytest.raises(ConfigError), Transcriber(str(tmp_path / "absent.pt")):
        pass
    assert not structlog.is_configured()
