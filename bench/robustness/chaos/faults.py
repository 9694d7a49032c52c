"""All faults by name; rows are those of the fault matrix.

A fault may leave things broken: the run heals them afterwards.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from bench.robustness.chaos import batch_faults as batches
from bench.robustness.chaos import broker_faults as brokers
from bench.robustness.chaos import operator_faults as operators
from bench.robustness.chaos import worker_faults as workers
from bench.robustness.chaos.commit_traps import CommitPoint
from bench.robustness.chaos.environment import Fault
from devstack.proxy import Direction

_NEWER: Final = b'{"v": 99, "state": {}}'

FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("kill", 1, workers.kill),
        Fault("kill-hung", 1, workers.kill_hung),
        *(Fault(f"kill-{at}", 1, partial(workers.kill_at, point=at)) for at in CommitPoint),
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
        Fault("cut-off", 7, lambda env: brokers.cut_off(env, *Direction)),
        Fault("cut-off-up", 7, lambda env: brokers.cut_off(env, Direction.UP)),
        Fault("cut-off-down", 7, lambda env: brokers.cut_off(env, Direction.DOWN)),
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
        Fault("missing-topics", 16, operators.missing_topics),
        Fault("wrong-partitions", 16, operators.wrong_partitions),
        Fault("wrong-timestamps", 16, operators.wrong_timestamps),
        Fault("recreated-topic", 16, operators.recreated_topic),
        Fault("revoke", 16, operators.revoke),
        Fault("storm", 17, workers.storm),
        Fault("lose-audio", 18, brokers.lose_audio),
        Fault("crowd", 19, brokers.crowd),
        Fault("impostor", 20, brokers.impostor),
        Fault("unreadable-state", 20, partial(operators.overwritten_state, value=b"not a state")),
        Fault("newer-state", 20, partial(operators.overwritten_state, value=_NEWER)),
        Fault("lost-state", 20, partial(operators.overwritten_state, value=None)),
        Fault("block", 22, workers.block),
        Fault("rolling", 2, workers.rolling),
    )
}
