"""The effect of each step of writing Chinese on accuracy, script and punctuation.

The folder's Chinese clips, as recorded and under noise, cut as the worker cuts them and decoded
without a prompt, with a punctuated one in Simplified script, and with the same in Traditional
script, which the worker uses. Then each text is converted to one script and typeset.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from bench.framework import BenchContext, Findings, add_decoding
from bench.quality.decoding import OfflineDecoder, clip_request
from bench.quality.known_clips import KnownClip, known_clips
from consumer.chinese_conversion import converters
from consumer.core.audio.utterance import Utterance
from consumer.core.text.chinese import CODE, PROMPT, Orthography, Script
from consumer.core.text.hypothesis import Hypothesis
from consumer.errors import ConfigError
from evaluation.report import Check, Figures, Sense
from evaluation.scoring import score, total

SIMPLIFIED: Final = "以下是普通话的句子。"
PROMPTS: Final[Mapping[str, str | None]] = {
    "no prompt": None,
    "prompt, Simplified": SIMPLIFIED,
    "prompt, Traditional": PROMPT,
}
BASELINE: Final = "no prompt, as it is"
SHIPPED: Final = "prompt, Traditional, written"
RECORDED: Final = "CER as recorded"
_MARKS: Final = frozenset("，。？！、；：,.?!;:")

Writer: TypeAlias = Callable[[Hypothesis], str]
ClipUtterance: TypeAlias = tuple[KnownClip, Utterance]


def writers() -> dict[str, Writer]:
    """Return the texts as Whisper writes them, and as the worker publishes them."""
    orthography = Orthography(converters(), Script.HANS)
    return {
        "as it is": lambda hypothesis: hypothesis.text,
        "written": lambda hypothesis: orthography.normalise(hypothesis, ()).text,
    }


def run(context: BenchContext) -> Findings:
    decoder = OfflineDecoder.load(context)
    if CODE not in decoder.transcriber.languages:
        name = decoder.transcriber.info.name
        raise ConfigError(f"{name} has no Chinese; use a multilingual model")
    with decoder.detecting():
        clips = [*known_clips(context.arguments.data, {CODE})]
    utterances = [(clip, each) for clip in clips for each in clip.utterances]
    rows: dict[str, dict[str, float]] = {}
    for prompted, given in PROMPTS.items():
        texts = _decoded(decoder, utterances, prompted, given)
        for written, write in writers().items():
            rows[f"{prompted}, {written}"] = row(utterances, [write(text) for text in texts])
    figures: Figures = {f"{name}: {key}": n for name, one in rows.items() for key, n in one.items()}
    return Findings(figures, checks(rows), decoder.measured_on)


def _decoded(
    decoder: OfflineDecoder, utterances: Sequence[ClipUtterance], what: str, prompt: str | None
) -> list[Hypothesis]:
    requests = (clip_request(each.samples, CODE, each.speech) for _, each in utterances)
    return decoder.decode([replace(request, prompt=prompt) for request in requests], what)


def row(utterances: Sequence[ClipUtterance], texts: Sequence[str]) -> dict[str, float]:
    """Return character error rates, and shares of the texts."""
    columns = {_column(clip): clip.snr_db for clip, _ in utterances}
    to_simplified = converters()[Script.HANS]
    punctuated = sum(not _MARKS.isdisjoint(text) for text in texts)
    one_script = sum(to_simplified(text) == text for text in texts)
    return {
        **{name: _error_rate(utterances, texts, snr_db) for name, snr_db in columns.items()},
        "punctuated": punctuated / len(texts),
        "one script": one_script / len(texts),
    }


def _column(clip: KnownClip) -> str:
    return RECORDED if clip.snr_db is None else f"CER at {clip.snr_db:g} dB"


def _error_rate(
    utterances: Sequence[ClipUtterance], texts: Sequence[str], snr_db: float | None
) -> float:
    joined: defaultdict[KnownClip, str] = defaultdict(str)
    for (clip, _), text in zip(utterances, texts, strict=True):
        if clip.snr_db == snr_db:
            joined[clip] += text
    return total(score(clip.recording.reference, t, CODE) for clip, t in joined.items()).rate


def checks(rows: Mapping[str, Mapping[str, float]]) -> list[Check]:
    """Return the checks that the steps cost no accuracy, and leave one script."""
    return [
        Check("CER", rows[SHIPPED][RECORDED], rows[BASELINE][RECORDED]),
        Check("one script", rows[SHIPPED]["one script"], 1.0, Sense.AT_LEAST),
    ]


def arguments(parser: argparse.ArgumentParser) -> None:
    add_decoding(parser)
