"""What was heard in the acts of a run -> figures, and the promises of issue D. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from bench.bootstrap import paired
from bench.live import trace
from bench.live.borders import Damage, damage
from bench.live.heard import Final as FinalHeard
from bench.live.heard import Onset, Partial, Played
from bench.live.pairing import Answer, answers, dealt, first_text_s, latencies, onset_s
from bench.live.programme import Long, Programme
from bench.live.stable import Promises, promises, stories
from consumer.core.audio.utterance import WHISPER_RATE
from evaluation.percentiles import percentile
from evaluation.report import Check, Figures, Sense
from evaluation.scoring import Score, score, tokens, total, unit_of

P50_S: Final = 0.7  # end of speech -> final, the 500 ms of waiting for more speech included
P95_S: Final = 1.5
ENOUGH: Final = 200  # latencies
TIMES_NAIVE: Final = 3.0  # streams
FIRST_S: Final = 1.2  # speech begins -> first partial, p50
EARLY_SHARE: Final = 0.60  # of the words of long utterances stable before their final
CHANGED_SHARE: Final = 0.02  # of stable words, by the final
WORSE_POINTS: Final = 1.5  # of error rate, than the whole-clip decode
BACK_LAG_S: Final = 1.0  # behind an overload, and
BACK_S: Final = 180.0  # so soon
LEAVES: Final = "leaves"  # how the names of an overload's streams begin


class Heard:
    """One contestant in one kind of act, all rounds together.

    `warm_up_s`: what ends before it is not timed; an engine may still be preparing.
    """

    def __init__(self, name: str, played: Sequence[Played], warm_up_s: float = 0.0) -> None:
        self.name = name
        self.played = played
        self._warm_up_s = warm_up_s

    @cached_property
    def answers(self) -> list[tuple[Played, Answer]]:
        return [
            (played, answer)
            for played in self.played
            for programme in played.act.programmes
            for answer in _answers(played, programme)
            if answer.placed.speech_end > self._warm_up_s * WHISPER_RATE
        ]

    @property
    def latencies(self) -> list[float]:
        return latencies(answer for _, answer in self.answers)

    def finals(self) -> list[FinalHeard]:
        return [each for played in self.played for each in _finals(played)]


def _finals(played: Played, stream_id: str | None = None) -> list[FinalHeard]:
    finals = (each for each in played.heard if isinstance(each, FinalHeard))
    return [each for each in finals if stream_id in {None, each.stream_id}]


def _answers(played: Played, programme: Programme) -> list[Answer]:
    ended = programme.stream_id in played.ended
    finals = _finals(played, programme.stream_id)
    given_up_at_s = None if ended else played.until_s
    return answers(programme, finals, played.axis, unfinished_at_s=given_up_at_s)


# --- how long it takes


def timing_figures(heard: Heard) -> Figures:
    waited = heard.latencies
    audio_s = sum(played.audio_s for played in heard.played)
    programmes = [p for played in heard.played for p in played.act.programmes]
    counted = [answer for _, answer in heard.answers]
    return {
        "streams": max(len(played.act.programmes) for played in heard.played),
        "talk_share": sum(p.talk * p.seconds for p in programmes) / audio_s,
        "finals": len(heard.finals()),
        "latencies": len(waited),
        **{f"latency_p{p}_s": percentile(waited, p / 100) for p in (50, 95, 99)},
        "clips_missed": sum(a.latency_s is None and a.overdue_s is None for a in counted),
        "clips_overdue": sum(a.overdue_s is not None for a in counted),
        "cpu_s_per_stream_s": sum(played.cpu_s for played in heard.played) / audio_s,
        "publisher_late_s": max(played.late_s for played in heard.played),
        **_own_figures(heard),
        **(trace.figures(counted, heard.played[0].axis) if len(heard.played) == 1 else {}),
    }


def _own_figures(heard: Heard) -> Figures:
    """What the worker said of itself."""
    looks = [look for played in heard.played for look in played.looks]
    return {
        "most_lag_s": max((look.lag_s for look in looks), default=None),
        "least_resident_mb": min((look.resident_mb for look in looks), default=None),
        "most_resident_mb": max((look.resident_mb for look in looks), default=None),
    }


def timing_checks(heard: Heard) -> Iterator[Check]:
    waited = heard.latencies
    streams = max(len(played.act.programmes) for played in heard.played)
    if waited:
        name = f"end of speech to final, {streams} streams"
        yield Check(f"{name}, p50 s", percentile(waited, 0.5) or 0.0, P50_S)
        yield Check(f"{name}, p95 s", percentile(waited, 0.95) or 0.0, P95_S)
    yield Check("latencies measured", len(waited), ENOUGH, Sense.AT_LEAST)


# --- what it says


@dataclass(frozen=True, slots=True)
class Told:
    """One piece of speech of which it is known what was said."""

    language: str
    reference: str
    whole: str  # the whole-clip decode
    live: str


def told_clips(heard: Heard, whole: Mapping[str, str]) -> list[Told]:
    """Clip by clip."""
    return [
        Told(
            placed.clip.language,
            placed.clip.reference,
            whole[placed.clip.name],
            " ".join(final.text for final in finals),
        )
        for played in heard.played
        for programme in played.act.programmes
        for placed, finals in zip(
            programme.placed,
            dealt(programme, _finals(played, programme.stream_id)),
            strict=True,
        )
        if placed.clip.reference
    ]


def told_long(heard: Heard, recordings: Iterable[Long], whole: Mapping[str, str]) -> list[Told]:
    """Recording by recording."""
    (played,) = heard.played
    return [
        Told(
            long.programme.language,
            long.reference,
            long.whole(whole),
            " ".join(final.text for final in _ordered(played, long.programme)),
        )
        for long in recordings
    ]


def _ordered(played: Played, programme: Programme) -> list[FinalHeard]:
    return sorted(_finals(played, programme.stream_id), key=lambda final: final.start_s)


def text_figures(told: Sequence[Told]) -> Figures:
    """By language; percent, and points of difference with their interval."""
    found: Figures = {}
    for language, group in by_language(told).items():
        live, whole = (_scores(group, which) for which in ("live", "whole"))
        against = [score(t.whole, t.live, language) for t in group if tokens(t.whole, language)]
        worse = paired(live, whole)
        rate = unit_of(language).rate_name.lower()
        found |= {
            f"{language}.{rate}_percent": 100 * total(live).rate,
            f"{language}.whole_{rate}_percent": 100 * total(whole).rate,
            f"{language}.{rate}_against_whole_percent": 100 * total(against).rate,
            f"{language}.worse_points": worse.points,
            f"{language}.worse_low_points": worse.low_points,
            f"{language}.worse_high_points": worse.high_points,
        }
    return found


def text_checks(found: Figures) -> Iterator[Check]:
    for name, value in found.items():
        if name.endswith(".worse_points"):
            yield Check(
                f"live error rate above whole clips', {name}", float(value or 0), WORSE_POINTS
            )


def by_language(told: Iterable[Told]) -> dict[str, list[Told]]:
    groups: defaultdict[str, list[Told]] = defaultdict(list)
    for each in told:
        groups[each.language].append(each)
    return dict(groups)


def _scores(told: Iterable[Told], which: str) -> list[Score]:
    return [score(each.reference, getattr(each, which), each.language) for each in told]


def damages(heard: Heard, recordings: Iterable[Long], whole: Mapping[str, str]) -> Damage:
    """At all cuts of long speech in the long recordings."""
    (played,) = heard.played
    return sum((_damage(played, long, whole) for long in recordings), Damage())


def _damage(played: Played, long: Long, whole: Mapping[str, str]) -> Damage:
    language, finals = long.programme.language, _ordered(played, long.programme)
    return damage(
        tokens(long.reference, language),
        tokens(long.whole(whole), language),
        [tokens(final.text, language) for final in finals],
        [index for index, final in enumerate(finals) if final.is_forced],
    )


def damage_figures(found: Damage) -> Figures:
    return {
        "cuts": found.cuts,
        "words_lost_at_cuts": found.lost,
        "words_doubled_at_cuts": found.doubled,
        "words_changed_at_cuts": found.changed,
    }


def damage_checks(found: Damage) -> Iterator[Check]:
    yield Check("words lost at forced cuts", found.lost, 0)
    yield Check("words doubled at forced cuts", found.doubled, 0)


def invented_figures(heard: Heard) -> Figures:
    """Of clips in which nothing is said."""
    texts = [final.text for final in heard.finals() if final.text.strip()]
    hours = sum(played.audio_s for played in heard.played) / 3600
    return {"hours": hours, "invented_finals": len(texts), "invented_per_hour": len(texts) / hours}


# --- partials


def partial_figures(heard: Heard) -> Figures:
    partials = [e for played in heard.played for e in played.heard if isinstance(e, Partial)]
    onsets = [e for played in heard.played for e in played.heard if isinstance(e, Onset)]
    axes = {p.stream_id: played.axis for played in heard.played for p in played.act.programmes}
    firsts = [first_text_s(answer, partials, played.axis) for played, answer in heard.answers]
    kept = promises(stories(partials, heard.finals()), axes)
    told = [onset_s(answer, onsets, played.axis) for played, answer in heard.answers]
    return {
        "first_text_p50_s": percentile((f for f in firsts if f is not None), 0.5),
        "first_text_p95_s": percentile((f for f in firsts if f is not None), 0.95),
        "onset_p50_s": percentile((t for t in told if t is not None), 0.5),
        **stable_figures(kept),
    }


def stable_figures(kept: Promises) -> Figures:
    return {
        "partials": kept.partials,
        "stable_delay_p50_s": percentile(kept.delays_s, 0.5),
        "stable_delay_p95_s": percentile(kept.delays_s, 0.95),
        "stable_taken_back_share": kept.taken_back_share,
        "stable_before_final_share": kept.early_share,
        "stable_changed_share": kept.changed_share,
    }


def partial_checks(found: Figures) -> Iterator[Check]:
    if found["partials"]:
        yield Check("first text, p50 s", float(found["first_text_p50_s"] or 0), FIRST_S)
        yield from stable_checks(found)


def stable_checks(found: Figures) -> Iterator[Check]:
    taken_back, early, changed = (
        float(found[f"stable_{name}_share"] or 0)
        for name in ("taken_back", "before_final", "changed")
    )
    yield Check("stable text taken back", taken_back, 0.0)
    yield Check("words stable before their final", early, EARLY_SHARE, Sense.AT_LEAST)
    yield Check("stable words changed by the final", changed, CHANGED_SHARE)


# --- overload


def overload_figures(heard: Heard) -> Figures:
    """From the moment at which most streams leave."""
    (played,) = heard.played
    leaving = [p for p in played.act.programmes if p.stream_id.startswith(LEAVES)]
    relieved_at_s = played.axis.at_s(max(programme.seconds for programme in leaving))
    late_at_s = [look.at_s for look in played.looks if look.lag_s >= BACK_LAG_S]
    return {
        "streams": len(played.act.programmes),
        "streams_behind": len(played.act.programmes) - len(leaving),
        "clips": len(heard.answers),
        "clips_without_final": sum(answer.latency_s is None for _, answer in heard.answers),
        "back_s": max(0.0, max(late_at_s, default=relieved_at_s) - relieved_at_s),
        **_own_figures(heard),
    }


def overload_checks(found: Figures) -> Iterator[Check]:
    yield Check("overload: clips without a final", float(found["clips_without_final"] or 0), 0)
    if found["most_lag_s"] is not None:
        name = f"overload: s until the lag stays under {BACK_LAG_S:g} s"
        yield Check(name, float(found["back_s"] or 0), BACK_S)


# --- capacity


def capacity_checks(best: Mapping[str, int], ours: str) -> Iterator[Check]:
    """`best`: most streams by contestant."""
    for peer in best.keys() - {ours}:
        times = best[ours] / max(1, best[peer])
        yield Check(f"times the streams of {peer}", times, TIMES_NAIVE, Sense.AT_LEAST)
