from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bench.host.ingest import FINAL_STEPS, RECORD_STEPS, live_policy
from bench.host.ingest_worker import IngestResult, IngestWorker, fetched
from bench.host.looped_speech import LoopedClip, SpeechLog, SpokenTexts, speech_log
from bench.quality.recordings import MANIFEST
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import Float32Array
from consumer.core.streams.entries import ScoreRequest
from consumer.core.text.hypothesis import TimedWord
from consumer.testing import EchoEngine
from evaluation.samples import SAMPLES
from schemas.audio import AudioChunk
from schemas.codec import decode_audio

SECONDS = 15


@pytest.fixture(scope="module")
def log() -> SpeechLog:
    return speech_log(SAMPLES, 3, SECONDS)


def run(log: SpeechLog) -> IngestResult:
    """Run a worker whose detector takes all but the pauses between two clips for speech."""
    engine = EchoEngine()

    def score(requests: Sequence[ScoreRequest]) -> list[Float32Array]:
        return [engine.score_one(request) for request in requests]

    return IngestWorker(log, live_policy(SegmenterConfig()), SpokenTexts(log.clips), score).run()


def chunks(log: SpeechLog, stream_id: str) -> list[AudioChunk]:
    records = [record for data in log.polls for record in fetched(data)]
    audio = [decode_audio(record.key, record.value, record.headers) for record in records]
    return [chunk for chunk in audio if chunk.stream_id == stream_id]


def test_a_log_has_the_clips_repeated_in_records_with_numbers(log: SpeechLog):
    for name, clip in log.clips.items():
        found = chunks(log, name)
        payload = b"".join(chunk.payload for chunk in found)
        assert payload == clip.audio(SECONDS).tobytes()
        assert [chunk.seq for chunk in found] == [*range(10 * SECONDS)]
        assert [chunk.start for chunk in found] == [n * clip.rate // 10 for n in range(len(found))]
        assert not any(chunk.problems for chunk in found)


def test_clips_without_speech_are_left_out(tmp_path: Path):
    entries = [json.loads(line) for line in (SAMPLES / MANIFEST).read_text("utf-8").splitlines()]
    spoken = {**entries[0], "file": str(SAMPLES / entries[0]["file"])}
    soundfile.write(tmp_path / "silence.flac", np.zeros(16_000, np.int16), 16_000)
    silent = {"file": "silence.flac", "text": "", "lang": "en", "seconds": 1.0}
    lines = (json.dumps(entry) + "\n" for entry in (silent, spoken))
    (tmp_path / MANIFEST).write_text("".join(lines), "utf-8")
    log = speech_log(tmp_path, 2, 1.0)
    assert [clip.language for clip in log.clips.values()] == [spoken["lang"]] * 2


def test_words_of_a_repeated_clip_are_timed_from_the_start_of_the_stretch():
    words = (TimedWord("one", 0.25, 0.5, 0.9), TimedWord(" two", 0.5, 1.0, 0.9))
    clip = LoopedClip(np.zeros(200, np.int16), 100, "en", words)
    found = [(word.text, word.start_s, word.end_s) for word in clip.words_within(2.5, 4.75)]
    assert found == [(" two", 0.0, 0.5), ("one", 1.75, 2.0)]


def test_every_record_is_read_and_every_pause_ends_an_utterance(log: SpeechLog):
    found = run(log)
    assert found.records == 3 * 10 * SECONDS
    loops = [int(SECONDS / clip.seconds) for clip in log.clips.values()]
    assert found.finals >= sum(loops)
    assert found.words > 5 * found.finals
    assert found.partials > found.finals
    assert found.progress_commits == SECONDS // 5


def test_rounds_do_the_same_work(log: SpeechLog):
    one, two = run(log), run(log)
    assert one.records == two.records
    assert (one.finals, one.partials) == (two.finals, two.partials)
    assert one.seconds.keys() == two.seconds.keys()


def test_the_bench_reports_every_step_and_the_targets(run_bench: Callable[..., Any]):
    found = run_bench("host --parts ingest --streams 2 --seconds 12 --rounds 1")
    steps = [f"record: {step}_us" for step in RECORD_STEPS]
    steps += [f"final: {step}_us" for step in FINAL_STEPS]
    assert all(found["figures"][step] > 0 for step in steps)
    names = [check["name"] for check in found["checks"]]
    assert names == ["ingest: record: all_ms", "ingest: final: all_ms"]
    total_us = sum(found["figures"][f"record: {step}_us"] for step in RECORD_STEPS)
    assert found["figures"]["record: all_ms"] == pytest.approx(total_us / 1000, abs=0.001)
