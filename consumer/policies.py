"""The policies of partitions and records, from the settings."""

from __future__ import annotations

from consumer.chinese_conversion import converters
from consumer.codecs.reader import AudioRules
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.partition.interim import InterimPolicy
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.stream_admission import StreamLimits
from consumer.core.streams.records import Lane
from consumer.core.streams.stream import StreamPolicy
from consumer.core.text.chinese import Orthography, Script
from consumer.core.text.events import FinalPolicy
from consumer.interfaces import EngineInfo
from consumer.settings import ChineseScript, Settings
from schemas.audio import AudioDefaults, StreamOptions, Task


def policies(
    settings: Settings, info: EngineInfo, segmenter: SegmenterConfig
) -> dict[Lane, PartitionPolicy]:
    """Return the policy of each audio topic; they differ in lane and session prefix only."""
    options = StreamOptions(
        languages=settings.languages,
        task=Task.TRANSCRIBE,
        words=settings.words,
        partials=settings.partials,
        endpoint_ms=settings.endpoint_ms,
    )
    return {
        lane: PartitionPolicy(
            lane=lane,
            from_earliest=settings.start_at == "earliest",
            stream=StreamPolicy(segmenter, options, info.languages, prefix),
            split_channels=settings.split_channels,
            model=info.model,
            finals=FinalPolicy(orthography(settings.script), settings.publish_suppressed),
            interim=InterimPolicy(settings.partial_every_s, settings.eager),
            final_within_s=settings.final_within_s,
            limits=StreamLimits(settings.max_streams, settings.new_streams_per_s),
            stall_s=settings.stall_s,
            stall_in_speech_s=settings.stall_in_speech_s,
            idle_s=settings.idle_s,
        )
        for lane, prefix in ((Lane.LIVE, ""), (Lane.BULK, "b"))
    }


def audio_rules(settings: Settings) -> AudioRules:
    """Return the rules by which records are read."""
    defaults = AudioDefaults(settings.codec, settings.rate, settings.channels)
    return AudioRules(defaults, settings.split_channels)


def orthography(script: ChineseScript) -> Orthography:
    """Return how Chinese is written."""
    chosen = None if script is ChineseScript.ANY else Script(script)
    return Orthography(converters(), chosen)
