"""Run a command that does not outlive the process that started it, however that one ends.

`python -IS parent_watchdog.py PARENT COMMAND...` becomes the command, under the same pid, after
forking a watchdog that kills it when PARENT has ended. PR_SET_PDEATHSIG would follow the parent's
*thread*, and a pipe would be held open by the parent's other children; a pidfd (Linux 5.3) does
neither.
"""

from __future__ import annotations

import os
import select
import signal
import sys


def main(parent: int, command: list[str]) -> None:
    parent_fd, command_fd = os.pidfd_open(parent), os.pidfd_open(os.getpid())
    if os.getppid() != parent:
        sys.exit("the parent has ended")  # before it could be watched
    if os.fork():
        os.execv(command[0], command)  # noqa: S606 - to become the command is the point
    watch(parent_fd, command_fd)


def watch(parent_fd: int, command_fd: int) -> None:
    """Return when one of the two has ended, and kill the command if it was the parent.

    A pidfd is readable once its process has ended.
    """
    poll = select.poll()
    poll.register(parent_fd, select.POLLIN)
    poll.register(command_fd, select.POLLIN)
    ended = {fd for fd, _ in poll.poll()}
    if command_fd not in ended:
        signal.pidfd_send_signal(command_fd, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
