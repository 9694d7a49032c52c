"""The programs of docs/publishing.md, and how to run them as documented."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs/publishing.md"
SECTIONS = {
    title: dict(re.findall(r"^```(\w+)\n(.*?)^```", body, flags=re.DOTALL | re.MULTILINE))
    for title, body in re.findall(
        r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
}  # code blocks by language
LANGUAGES = ("python", "java", "js", "go")
# Program -> the name of its file.
PUBLISHERS = {
    "Python: aiokafka": "publish.py",
    "Python: confluent-kafka": "publish.py",
    "Java": "Publish.java",
    "Node.js": "publish.js",
    "Go": "publish.go",
}
TWILIO, ASTERISK = "Twilio Media Streams", "Asterisk AudioSocket"
BRIDGES = {TWILIO: "twilio_bridge.py", ASTERISK: "audiosocket_bridge.py"}
_SEARCH = (str(Path(sys.executable).parent), os.environ["PATH"])
ENVIRONMENT = os.environ | {"PATH": os.pathsep.join(_SEARCH)}  # finds this Python first


def program(title: str) -> str:
    """Return the code of a section."""
    (code,) = (SECTIONS[title][name] for name in LANGUAGES if name in SECTIONS[title])
    return code


def commands(title: str, replacements: Mapping[str, str]) -> str:
    """Return the commands of a section without pip, as its packages are installed.

    `replacements`: what the test uses, by what is documented.
    """
    lines = SECTIONS[title]["sh"].splitlines()
    text = "\n".join(line for line in lines if not line.startswith("pip install "))
    for documented, actual in replacements.items():
        assert documented in text
        text = text.replace(documented, actual)
    return text
