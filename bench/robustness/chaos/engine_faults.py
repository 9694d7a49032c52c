"""An engine process that is killed or hangs (row 9): its workers submit again what it had."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from bench.robustness.chaos.environment import ChaosEnvironment
from bench.robustness.chaos.process_slots import NotFired, ProcessSlot, wait_until
from schemas.transcript import TranscriptFinal

LOST: Final = "engine lost, connecting again"
_NOTICED_S: Final = 20.0  # within which a worker notices that its engine is silent
_READY_S: Final = 120.0
_FINAL_S: Final = 30.0  # within which an utterance is sure to end


async def kill_engine(env: ChaosEnvironment) -> str:
    engine = _engine(env)
    engine.signal(signal.SIGKILL)
    await engine.ended(-signal.SIGKILL, _NOTICED_S)
    return f"the engine was killed, {await _resumed(env, engine)}"


async def hang_engine(env: ChaosEnvironment) -> str:
    """Stop the engine; kill it, as a supervisor does, once its workers have noticed."""
    engine = _engine(env)
    engine.signal(signal.SIGSTOP)
    for slot in env.slots:
        await slot.logged(LOST, _NOTICED_S)
    engine.signal(signal.SIGKILL)
    await engine.ended(-signal.SIGKILL, _NOTICED_S)
    return f"the engine was stopped, all workers noticed it, {await _resumed(env, engine)}"


def _engine(env: ChaosEnvironment) -> ProcessSlot:
    if env.engine is None:
        raise NotFired("there is no engine process")
    return env.engine


async def _resumed(env: ChaosEnvironment, engine: ProcessSlot) -> str:
    """Wait for the first final after the next engine is ready, and note how long it took."""
    loop = asyncio.get_running_loop()
    if not await wait_until(lambda: engine.url is not None, _READY_S):
        raise NotFired("no other engine was ready")
    ready_s, before = loop.time(), _finals(env)
    if not await wait_until(lambda: _finals(env) > before, _FINAL_S):
        raise NotFired("no final was published after it")
    env.resumed_s.append(loop.time() - ready_s)
    return f"finals {env.resumed_s[-1]:.1f} s after the next was ready"


def _finals(env: ChaosEnvironment) -> int:
    return sum(isinstance(each.event, TranscriptFinal) for each in env.log.events)
