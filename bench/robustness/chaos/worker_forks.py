"""Workers forked from a process that has imported the service already.

Importing torch takes a worker five seconds of a processor, each time it starts; forked, it is ready
in less than one. The worker is otherwise a process like any other: its own session, log, settings
and end.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from asyncio import Event, get_running_loop, to_thread
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

from consumer.process_tuning import limit_spinning
from devstack.parent_watchdog import watch

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["bench.robustness.chaos.worker", "consumer.service"])


class ForkedProcess:
    """A running worker, as `devstack.worker_process.WorkerProcess` wants it."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Return the exit status, below 0 for a signal, once the process has ended."""
        loop, ended = get_running_loop(), Event()
        while (code := self.returncode) is None:
            loop.add_reader(self._process.sentinel, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._process.sentinel)
        return code


def start_fork_server() -> None:
    """Let the process that workers are forked from import what they need, in the background."""
    limit_spinning(os.environ)  # before torch loads
    forkserver.ensure_running()


async def fork_worker(
    command: Sequence[str], environ: Mapping[str, str], log_file: Path
) -> ForkedProcess:
    """Start a worker. `command`: arguments of `bench.robustness.chaos.worker`."""
    arguments = (list(command), dict(environ), str(log_file), os.getpid())
    process = _CONTEXT.Process(target=_run, args=arguments, daemon=True)
    await to_thread(process.start)
    return ForkedProcess(process)


def _run(command: Sequence[str], environ: Mapping[str, str], log_file: str, parent: int) -> None:
    """Become the worker, in the forked process."""
    from bench.robustness.chaos.worker import main

    os.setsid()  # Ctrl-C ends the bench, which ends its workers
    log = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for standard in (1, 2):
        os.dup2(log, standard)
    _watch(parent)
    os.environ.clear()
    os.environ.update(environ)
    sys.exit(main(command))


def _watch(parent: int) -> None:
    """Start the watchdog that ends this process with the bench."""
    parent_fd, own_fd = os.pidfd_open(parent), os.pidfd_open(os.getpid())
    if os.fork() == 0:
        watch(parent_fd, own_fd)
        os._exit(0)
