"""All faults by name; rows are those of the fault matrix."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from bench.robustness.chaos import broker_faults as brokers
from bench.robustness.chaos import engine_faults as engines
from bench.robustness.chaos import log_faults as logs
from bench.robustness.chaos import operator_faults as operators
from bench.robustness.chaos import worker_faults as workers
from bench.robustness.chaos.commit_traps import CommitPoint
from bench.robustness.chaos.environment import Fault
from devstack.proxy import Direction, Proxy

_CUT_OFF: Final = partial(brokers.disturb, cause=Proxy.hold, effect="nothing passed")
_NEWER: Final = b'{"v": 99, "state": {}}'


def _network(name: str, row: int, effect: str, cause: Callable[[Proxy], None]) -> Fault:
    return Fault(name, row, partial(brokers.disturb, cause=cause, effect=effect))


def _engine(name: str, row: int, **mode: float) -> Fault:
    return Fault(name, row, partial(workers.change_engine, mode=mode))


FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("kill", 1, workers.kill),
        Fault("kill-hung", 1, workers.kill_hung),
        *(Fault(f"kill-{at}", 1, partial(workers.kill_at, point=at)) for at in CommitPoint),
        Fault("terminate", 2, workers.terminate),
        Fault("terminate-stuck", 2, workers.terminate_stuck),
        Fault("rolling", 2, workers.rolling),
        Fault("freeze", 3, workers.freeze),
        Fault("kill-leader", 4, brokers.kill_leader),
        Fault("kill-group-coordinator", 4, brokers.kill_group_coordinator),
        Fault("kill-transaction-coordinator", 4, brokers.kill_transaction_coordinator),
        Fault("pause-broker-15", 5, partial(brokers.pause_broker, seconds=15)),
        Fault("pause-broker-45", 5, partial(brokers.pause_broker, seconds=45)),
        Fault("two-brokers-down", 6, partial(brokers.lose_brokers, count=2), brokers=3),
        Fault("all-brokers-down", 6, partial(brokers.lose_brokers, count=3)),
        Fault("cut-off", 7, _CUT_OFF),
        _network("cut-off-up", 7, "nothing passed up", lambda proxy: proxy.hold(Direction.UP)),
        _network("cut-off-down", 7, "nothing passed down", lambda p: p.hold(Direction.DOWN)),
        Fault("cut-off-one-broker", 7, partial(_CUT_OFF, brokers=1), brokers=3),
        _network("refuse", 7, "connections were refused", Proxy.refuse),
        Fault("reset-before-end", 7, partial(brokers.reset_at_end, passed=False)),
        Fault("reset-behind-end", 7, partial(brokers.reset_at_end, passed=True)),
        _network("slow-network", 8, "all took 200 ms", lambda p: setattr(p, "delay_s", 0.2)),
        _engine("slow-engine", 9, slowness=10.0),
        Fault("hung-engine", 9, workers.hung_engine),
        Fault("kill-engine", 9, engines.kill_engine, engine_process=True),
        Fault("hang-engine", 9, engines.hang_engine, engine_process=True),
        _engine("small-memory", 10, max_rows=1),
        Fault("poison", 10, workers.poison),
        Fault("bad-records", 11, logs.bad_records),
        Fault("bomb", 13, logs.bomb),
        Fault("bomb-accepted", 13, logs.bomb_accepted),
        Fault("corrupt-on-disk", 13, logs.corrupt_on_disk),
        Fault("corrupt-in-flight", 13, logs.corrupt_in_flight),
        Fault("missing-topics", 16, operators.missing_topics),
        Fault("wrong-partitions", 16, operators.wrong_partitions),
        Fault("wrong-timestamps", 16, operators.wrong_timestamps),
        Fault("recreated-topic", 16, operators.recreated_topic),
        Fault("revoke", 16, operators.revoke),
        Fault("storm", 17, workers.storm),
        Fault("lose-audio", 18, logs.lose_audio),
        Fault("crowd", 19, logs.crowd),
        Fault("impostor", 20, logs.impostor),
        Fault("unreadable-state", 20, partial(operators.overwritten_state, value=b"not a state")),
        Fault("newer-state", 20, partial(operators.overwritten_state, value=_NEWER)),
        Fault("lost-state", 20, partial(operators.overwritten_state, value=None)),
        Fault("block", 22, workers.block),
    )
}
