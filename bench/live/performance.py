"""The acts of one run: contestants in turns, each with a worker of its own while it plays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from math import ceil
from typing import Final

from bench.live.capacity import Search
from bench.live.contestants import Contestant
from bench.live.heard import Act, Played
from bench.live.material import NOTHING_SAID, Material, bed
from bench.live.measures import LEAVES, Heard
from bench.live.programme import Programme, Spoken, conversation, joined
from bench.live.stage import Stage
from bench.progress import Advance
from consumer.core.audio.utterance import WHISPER_RATE
from evaluation.percentiles import percentile

PATIENCE_S: Final = 30.0  # for what is still to come when all was spoken
_PROBE_PATIENCE_S: Final = 5.0  # it has failed by then
_PROBE_CLIPS: Final = 40  # that a probe times at least
_CLIPS_A_SECOND: Final = 0.09  # of one stream, as the shared clips are
_SILENT_GAP_S: Final = 2.0
_OVERLOAD: Final = 3.0  # times the streams that were asked for; issue D
_OVERLOAD_S: Final = 60.0
_RELIEF: Final = 0.5  # times those streams, while and after
_RELIEF_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    streams: int
    seconds: float  # of conversation
    pace: float  # seconds of audio a second
    partials: bool
    noise_db: float | None  # signal to noise; None: silence is zero
    seed: int
    warm_up_s: float  # at the beginning of a conversation, that is not timed


class Programmes:
    """What is spoken, made by the seed alone: the same for every contestant."""

    def __init__(self, material: Material, plan: Plan) -> None:
        self._material, self._plan = material, plan

    def talk(self, name: str, streams: int, seconds: float) -> list[Programme]:
        """Conversations in the languages of the clips, taken in turns."""
        languages = islice(cycle(self._material.languages), streams)
        return [
            self._noisy(
                conversation(
                    f"{name}-{index}", self._material.clips[language], seconds, self._plan.seed
                ),
                index,
            )
            for index, language in enumerate(languages)
        ]

    def overload(self) -> list[Programme]:
        """Three times the streams that were asked for, for a minute; half of them talk on."""
        staying = max(1, round(_RELIEF * self._plan.streams))
        leaving = round(_OVERLOAD * self._plan.streams) - staying
        return [
            *self.talk("stays", staying, _OVERLOAD_S + _RELIEF_S),
            *self.talk(LEAVES, leaving, _OVERLOAD_S),
        ]

    def long(self) -> list[Programme]:
        made = enumerate(each.programme for each in self._material.long)
        return [self._noisy(programme, index) for index, programme in made]

    def silent(self) -> list[Programme]:
        """All clips in which nothing is said, dealt out to the streams, in any language."""
        languages, count = self._material.languages, self._plan.streams
        dealt = [self._material.silent[index::count] for index in range(count)]
        gap = round(_SILENT_GAP_S * WHISPER_RATE)
        return [
            joined(f"silent-{i}", clips, [gap] * len(clips), languages[i % len(languages)])
            for i, clips in enumerate(dealt)
            if clips
        ]

    def _noisy(self, programme: Programme, index: int) -> Programme:
        if self._plan.noise_db is None:
            return programme
        spoken = [placed.clip for placed in programme.placed]
        noise = bed(self._material.silent, spoken, self._plan.noise_db, index)
        return replace(programme, noise=noise)


def spoken_clips(programmes: Iterable[Programme]) -> list[Spoken]:
    """Those in which something is said."""
    placed = (each for programme in programmes for each in programme.placed)
    return [each.clip for each in placed if each.clip.language != NOTHING_SAID]


async def perform(
    stage: Stage,
    contestant: Contestant,
    acts: Sequence[Sequence[Programme]],
    plan: Plan,
    advance: Advance,
    patience_s: float = PATIENCE_S,
) -> list[Played]:
    """One worker, one act after the other."""
    played = []
    async with stage.seat(contestant) as seat:
        for programmes in acts:
            act = Act(programmes, plan.pace, plan.partials, patience_s)
            played.append(await seat.play(act, advance))
    return played


async def find_capacity(
    stage: Stage,
    contestants: Sequence[Contestant],
    programmes: Programmes,
    plan: Plan,
    limit_s: float,
    tell: Callable[[str], None],
) -> dict[str, Search]:
    """By contestant; they take turns, each with what its own search asks for next."""
    searches = {contestant.name: Search(plan.streams) for contestant in contestants}
    while True:
        asked = [(c, n) for c in contestants if (n := searches[c.name].next()) is not None]
        if not asked:
            return searches
        for contestant, streams in asked:
            p95_s = await _probe(stage, contestant, programmes, plan, streams)
            searches[contestant.name].told(streams, kept=p95_s <= limit_s)
            tell(f"{contestant.name}: {streams} streams, p95 {p95_s:.2f} s")


async def _probe(
    stage: Stage, contestant: Contestant, programmes: Programmes, plan: Plan, streams: int
) -> float:
    """The p95 of that many streams, for as long as it takes to see enough clips."""
    least_s = ceil(_PROBE_CLIPS / (_CLIPS_A_SECOND * streams))
    seconds = plan.warm_up_s + max(plan.seconds, least_s)
    talk = programmes.talk(f"probe-{streams}", streams, seconds)
    played = await perform(stage, contestant, [talk], plan, lambda _, __: None, _PROBE_PATIENCE_S)
    waited = Heard(contestant.name, played, plan.warm_up_s).latencies
    return percentile(waited, 0.95) or float("inf")
