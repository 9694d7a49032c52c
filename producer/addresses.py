"""Addresses of the web or of cameras given as inputs, which are not read yet. Pure."""

from __future__ import annotations

import re
import shlex
from typing import Final

_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_LOGIN: Final = re.compile(r"(?<=://)[^/?#]*@")
_BY_CURL: Final = frozenset({"http", "https", "ftp", "ftps", "sftp"})
_BY_FFMPEG: Final = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "udp", "tcp", "mms"})


def address_problem(text: str) -> str | None:
    """Return why the input cannot be read and what to do, or None if it is no address.

    A login in it is left out: errors are logged.
    """
    if (match := _ADDRESS.match(text)) is None:
        return None
    address, scheme = _LOGIN.sub("", text), match[1].lower()
    if scheme == "file":
        return f"{address}: is an address: name the path instead"
    command = _command(scheme, shlex.quote(address))
    return (
        f"{address}: addresses are not supported yet: pipe it, {command} | streamscribe publish -"
    )


def _command(scheme: str, quoted: str) -> str:
    if scheme in _BY_CURL:
        return f"curl -sfL {quoted}"
    if scheme in _BY_FFMPEG:
        return f"ffmpeg -loglevel error -i {quoted} -f wav -"
    return "COMMAND-THAT-READS-IT"
