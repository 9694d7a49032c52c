"""All faults by name: each does its worst, then says by what it is known that it happened.

Rows are those of the fault matrix (docs/guarantees.md). A fault may leave things broken: the arena
heals them afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.chaos import batch_faults as batches
from bench.chaos import broker_faults as brokers
from bench.chaos import probes
from bench.chaos import worker_faults as workers
from bench.chaos.arena import Arena
from bench.chaos.commit_points import Point
from bench.chaos.right_faults import revoke
from devstack.proxy import Direction

Run = Callable[[Arena], Awaitable[str]]  # returns the proof; raises NotFired


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    row: int  # of the matrix
    run: Run
    brokers: int = 1  # at least


FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("kill", 1, workers.kill),
        Fault("kill-hung", 1, workers.kill_hung),
        *(Fault(f"kill-{point}", 1, partial(workers.kill_at, point=point)) for point in Point),
        Fault("terminate", 2, workers.terminate),
        Fault("terminate-stuck", 2, workers.terminate_stuck),
        Fault("freeze", 3, workers.freeze),
        Fault("kill-leader", 4, brokers.kill_leader),
        Fault("kill-group-coordinator", 4, brokers.kill_group_coordinator),
        Fault("kill-transaction-coordinator", 4, brokers.kill_transaction_coordinator),
        Fault("pause-broker-15", 5, partial(brokers.pause_broker, seconds=15)),
        Fault("pause-broker-45", 5, partial(brokers.pause_broker, seconds=45)),
        Fault("two-brokers-down", 6, partial(brokers.lose_brokers, count=2), brokers=3),
        Fault("all-brokers-down", 6, partial(brokers.lose_brokers, count=3)),
        Fault("cut-off", 7, lambda arena: brokers.cut_off(arena, *Direction)),
        Fault("cut-off-up", 7, lambda arena: brokers.cut_off(arena, Direction.UP)),
        Fault("cut-off-down", 7, lambda arena: brokers.cut_off(arena, Direction.DOWN)),
        Fault("cut-off-one-broker", 7, brokers.cut_off_one, brokers=3),
        Fault("refuse", 7, brokers.refuse),
        Fault("reset-before-end", 7, partial(brokers.reset_at_end, passed=False)),
        Fault("reset-behind-end", 7, partial(brokers.reset_at_end, passed=True)),
        Fault("slow-network", 8, brokers.slow_network),
        Fault("slow-engine", 9, workers.slow_engine),
        Fault("hung-engine", 9, workers.hung_engine),
        Fault("small-memory", 10, workers.small_memory),
        Fault("poison", 10, workers.poison),
        Fault("bad-records", 11, brokers.bad_records),
        Fault("bomb", 13, batches.bomb),
        Fault("bomb-accepted", 13, batches.bomb_accepted),
        Fault("corrupt-on-disk", 13, batches.corrupt_on_disk),
        Fault("corrupt-in-flight", 13, batches.corrupt_in_flight),
        Fault("missing-topics", 16, probes.missing_topics),
        Fault("wrong-partitions", 16, probes.wrong_partitions),
        Fault("wrong-timestamps", 16, probes.wrong_timestamps),
        Fault("recreated-topic", 16, probes.recreated_topic),
        Fault("revoke", 16, revoke),
        Fault("storm", 17, workers.storm),
        Fault("lose-audio", 18, brokers.lose_audio),
        Fault("crowd", 19, brokers.crowd),
        Fault("impostor", 20, brokers.impostor),
        Fault("unreadable-state", 20, probes.unreadable_state),
        Fault("newer-state", 20, probes.newer_state),
        Fault("lost-state", 20, probes.lost_state),
        Fault("block", 22, workers.block),
        Fault("rolling", 2, workers.rolling),
    )
}
