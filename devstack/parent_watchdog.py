"""Run a command that ends with the process that started it, even if that one is killed.

`python -IS parent_watchdog.py PARENT COMMAND...` forks a watchdog, which kills the command when
PARENT has ended, and then becomes the command under the same pid. The watchdog uses pidfds (Linux
5.3), because PR_SET_PDEATHSIG would be sent at the end of the parent's *thread*, and a pipe would
be kept open by the parent's other children.
"""

from __future__ import annotations

import os
import select
import signal
import sys


def watched(*command: str) -> list[str]:
    """Return the command line that runs `command` until it or this process ends."""
    return [sys.executable, "-IS", __file__, str(os.getpid()), *command]


def main(parent: int, command: list[str]) -> None:
    parent_fd, command_fd = os.pidfd_open(parent), os.pidfd_open(os.getpid())
    if os.getppid() != parent:
        sys.exit("the parent has ended already")
    if os.fork():
        os.execv(command[0], command)  # noqa: S606 - to become the command is the point
    watch(parent_fd, command_fd)


def watch(parent_fd: int, command_fd: int) -> None:
    """Wait until the parent or the command has ended; kill the command if it was the parent.

    A pidfd becomes readable when its process ends.
    """
    poll = select.poll()
    poll.register(parent_fd, select.POLLIN)
    poll.register(command_fd, select.POLLIN)
    ended = {fd for fd, _ in poll.poll()}
    if command_fd not in ended:
        signal.pidfd_send_signal(command_fd, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
