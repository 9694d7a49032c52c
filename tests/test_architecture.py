"""Import rules: which package may import which.

    __main__ -> { service | supervisor }; engine_main -> engine_service; both -> command
    service -> engine_service
             -> { kafka | engine -> inference | detection | codecs | health | logs
                | chinese_conversion
                | pipeline -> { partition_runner -> decode_window | watchdog | broadcast_queue } }
             -> { interfaces | metrics | settings } -> errors -> core -> schemas
    core: partition -> scheduling -> text -> streams -> audio

Packages that decide are pure and import only each other, in one direction; packages that do I/O
are thin and import them; siblings in braces never import each other. `IMPORT_RULES` is this
diagram as data. A module without a rule is a violation, so a new package needs an entry.
"""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest

from streamscribe.cli import COMMANDS

ROOT = Path(__file__).parent.parent
PACKAGES = (
    *("streamscribe", "schemas", "transport", "weights", "evaluation", "captions"),
    *("consumer", "producer", "subscriber", "offline", "admin", "devstack", "bench"),
)

CORE = ("consumer.core", "schemas")
BASE = ("consumer.errors", *CORE)
SHARED = ("consumer.interfaces", "consumer.metrics", "consumer.settings", *BASE)
SHELLS = (
    *("consumer.kafka", "consumer.engine", "consumer.detection", "consumer.codecs"),
    *("consumer.health", "consumer.logs", "consumer.pipeline", "consumer.chinese_conversion"),
)

# Package -> packages of this project that it may import, besides itself.
IMPORT_RULES: dict[str, tuple[str, ...]] = {
    "schemas": (),
    "weights": (),
    "evaluation": ("schemas",),
    "evaluation.scoring": (),
    "captions": ("schemas",),
    "transport": ("schemas",),
    "transport.acls": ("schemas",),
    "transport.bootstrap": (),
    "transport.environment": (),
    "transport.errors": (),
    "transport.security": ("transport.environment",),
    "consumer.__init__": (),
    "consumer.core": ("schemas",),
    **{
        f"consumer.core.{package}": (*(f"consumer.core.{lower}" for lower in lowers), "schemas")
        for package, lowers in (
            ("audio", ()),
            ("streams", ("audio",)),
            ("text", ("audio", "streams")),
            ("scheduling", ("audio", "streams", "text")),
            ("partition", ("audio", "streams", "text", "scheduling")),
        )
    },
    "consumer.errors": CORE,
    "consumer.metrics": BASE,
    "consumer.interfaces": BASE,
    "consumer.settings": (
        *("transport.bootstrap", "transport.environment", "transport.security"),
        *BASE,
    ),
    "consumer.process_tuning": (),
    "consumer.kafka": ("transport", *SHARED),
    "consumer.inference": ("weights", *SHARED),
    "consumer.engine": ("consumer.wakeup", *SHARED),
    "consumer.engine.local": ("consumer.wakeup", *SHARED),
    "consumer.engine.transcriber_thread": ("consumer.inference", *SHARED),
    "consumer.detection": SHARED,
    "consumer.codecs": SHARED,
    "consumer.health": SHARED,
    "consumer.logs": SHARED,
    "consumer.wakeup": (),
    "consumer.broadcast_queue": ("consumer.wakeup", *SHARED),
    "consumer.decode_window": SHARED,
    "consumer.watchdog": ("consumer.wakeup", *SHARED),
    "consumer.partition_runner": ("consumer.decode_window", "consumer.wakeup", *SHARED),
    "consumer.pipeline": (
        *("consumer.broadcast_queue", "consumer.partition_runner", "consumer.watchdog"),
        *("consumer.wakeup", *SHARED),
    ),
    "consumer.testing": (
        *("consumer.codecs", "consumer.engine.local", "consumer.pipeline", *SHARED),
    ),
    "consumer.chinese_conversion": CORE,
    "consumer.model_loading": ("consumer.engine", "consumer.inference", "weights", *SHARED),
    "consumer.clock": (),
    "consumer.engine_service": (
        *("consumer.clock", "consumer.engine", "consumer.health", "consumer.inference"),
        *("consumer.model_loading", *SHARED),
    ),
    "consumer.policies": ("consumer.chinese_conversion", "consumer.codecs", *SHARED),
    "consumer.service": (
        *("consumer.clock", "consumer.engine_service", "consumer.model_loading", "transport"),
        *("consumer.policies", *SHELLS, *SHARED),
    ),
    "consumer.supervisor": ("consumer.engine", "transport.environment", *SHARED),
    "consumer.command": ("consumer.process_tuning", "transport.errors", *SHARED),
    "consumer.__main__": (
        *("consumer.command", "consumer.logs", "consumer.service", "consumer.supervisor", *SHARED),
    ),
    "consumer.engine_main": (
        *("consumer.command", "consumer.logs", "consumer.engine_service", *SHARED),
    ),
    "producer": ("schemas", "transport"),
    "subscriber": ("captions", "schemas", "transport"),
    "offline": (
        *("consumer.clock", "consumer.codecs", "consumer.detection", "consumer.engine"),
        *("consumer.engine_service", "consumer.logs", "consumer.model_loading"),
        *("consumer.pipeline", "consumer.policies", "consumer.process_tuning"),
        *("consumer.wakeup", "captions", "producer", "transport", *SHARED),
    ),
    "admin": (*BASE, "consumer.kafka", "transport"),
    "devstack": tuple(package for package in PACKAGES if package != "bench"),
    "bench": PACKAGES,
    "streamscribe": (
        *(
            "consumer.__main__",
            "consumer.engine_main",
            "producer",
            "subscriber",
            "offline",
            "admin",
            "devstack",
            "weights",
            "schemas",
        ),
    ),
}

# Package -> third-party libraries that it may import. A package without an entry is not limited.
ALLOWED_LIBRARIES: dict[str, tuple[str, ...]] = {
    "schemas": ("langcodes", "msgspec", "orjson"),
    "captions": ("docx", "orjson", "pysubs2", "rich", "uniseg"),
    **dict.fromkeys(("transport.acls", "transport.environment", "transport.security"), ()),
    "consumer.core": ("numpy",),
    "consumer.errors": (),
    **dict.fromkeys(
        ("consumer.broadcast_queue", "consumer.partition_runner", "consumer.pipeline"),
        ("structlog",),
    ),
    **dict.fromkeys(("consumer.decode_window", "consumer.wakeup"), ()),
    "consumer.watchdog": ("structlog",),
}

TORCH_PACKAGES = ("consumer.inference", "consumer.detection", "devstack", "bench")
# Third-party library -> packages that may import it. A library without an entry is free for all.
LIBRARY_OWNERS: dict[str, tuple[str, ...]] = {
    "aiohttp": ("consumer.health", "devstack", "bench"),
    "aiokafka": (
        *("transport", "consumer.kafka", "producer", "subscriber", "admin", "devstack", "bench"),
    ),
    "av": ("producer",),
    **dict.fromkeys(("docx", "pysubs2", "uniseg"), ("captions",)),
    "opencc": ("consumer.chinese_conversion", "evaluation"),
    "silero_vad": TORCH_PACKAGES,
    "torch": TORCH_PACKAGES,
    "webrtcvad": TORCH_PACKAGES,
    "whisper": (*TORCH_PACKAGES, "evaluation"),  # its text normaliser, lazily
}

# Modules that make a decision depend on more than its arguments.
IMPURE = {
    *("asyncio", "concurrent", "multiprocessing", "threading", "subprocess", "signal"),
    *("http", "select", "selectors", "socket", "urllib"),
    *("logging", "os", "pathlib", "tempfile"),
    *("random", "secrets", "time", "uuid"),
}
PURE = (
    *("schemas", "captions", "consumer.core", "evaluation.scoring"),
    *("transport.acls", "transport.environment", "transport.security"),
)
CLOCKS = ("now", "utcnow", "today")  # of datetime: its types are pure, its clock is not

HEAVY = {"aiokafka", "numpy", "torch"}  # each would add seconds to `streamscribe --help`

# Commands, which may print.
MAY_PRINT = (
    *("streamscribe", "producer", "subscriber", "admin", "devstack", "bench"),
    "consumer.__main__",
)


@dataclass(frozen=True)
class Module:
    """A source file: its path, its package and its syntax tree."""

    path: str  # relative to the root, with slashes
    package: str | None  # None: no import rule covers the file
    tree: ast.Module

    def at(self, node: ast.stmt | ast.expr, problem: str) -> str:
        return f"{self.path}:{node.lineno} {problem}"


def package_of(name: str) -> str | None:
    """Return the package of a dotted module name: that of the most specific rule."""
    name = "consumer.__init__" if name == "consumer" else name
    packages = [
        package for package in IMPORT_RULES if name == package or name.startswith(f"{package}.")
    ]
    return max(packages, key=len, default=None)


def parse(path: str, source: str) -> Module:
    with garbage_collection_off():
        tree = ast.parse(source)
    return Module(path, package_of(path.removesuffix(".py").replace("/", ".")), tree)


@contextmanager
def garbage_collection_off() -> Iterator[None]:
    """Collect no garbage meanwhile.

    An object of an earlier test may log a traceback when it is collected. A traceback parses
    source for its carets, and CPython 3.11 fails when that happens within a parse (gh-106905).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def modules() -> Iterator[Module]:
    for path in sorted(chain.from_iterable((ROOT / package).rglob("*.py") for package in PACKAGES)):
        yield parse(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def imports(module: Module) -> Iterator[tuple[ast.stmt, str]]:
    """Yield every imported dotted name, those of lazy imports too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def allowed(package: str, target: str | None) -> bool:
    """Return whether `package` may import `target`: itself, a package of its rule, or a module."""
    return target is not None and within(target, (package, *IMPORT_RULES[package]))


def within(name: str, packages: Iterable[str]) -> bool:
    """Return whether a dotted name is one of `packages` or inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def unlisted(module: Module) -> Iterator[str]:
    if module.package is None:
        yield f"{module.path}:1 has no import rule: add one to IMPORT_RULES"


def forbidden_imports(module: Module) -> Iterator[str]:
    """Yield imports of this project's packages that no rule allows."""
    package = module.package
    for node, name in imports(module):
        if package and name.split(".")[0] in PACKAGES and not allowed(package, package_of(name)):
            may = ", ".join(IMPORT_RULES[package]) or "no other package of this project"
            yield module.at(node, f"imports {name}: {package} may import {may}")


def forbidden_libraries(module: Module) -> Iterator[str]:
    """Yield imports of third-party libraries by packages that may not import them."""
    package = module.package or ""
    for node, name in imports(module):
        library = name.split(".")[0]
        if library in PACKAGES or library in sys.stdlib_module_names:
            continue
        if package in ALLOWED_LIBRARIES and library not in ALLOWED_LIBRARIES[package]:
            may = ", ".join(("the standard library", *ALLOWED_LIBRARIES[package]))
            yield module.at(node, f"imports {library}: {package} may import only {may}")
        elif not within(package, LIBRARY_OWNERS.get(library, (package,))):
            yield module.at(
                node,
                f"imports {library}: it is owned by {', '.join(LIBRARY_OWNERS[library])}",
            )


def impure(module: Module) -> Iterator[str]:
    if module.package not in PURE:
        return
    for node, name in imports(module):
        if name.split(".")[0] in IMPURE:
            yield module.at(
                node, f"imports {name}: {module.package} is pure, take it as an argument"
            )
    for call in calls(module):
        if isinstance(call.func, ast.Attribute) and call.func.attr in CLOCKS:
            yield module.at(
                call, f"reads a clock: {module.package} is pure, take the time as `now`"
            )


def calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def unawaited_tasks(module: Module) -> Iterator[str]:
    """Yield tasks of the service outside a TaskGroup: their errors would be lost."""
    for node in calls(module) if module.path.startswith("consumer/") else ():
        called = ast.unparse(node.func)
        if called.split(".")[-1] == "ensure_future" or called.endswith(
            ("asyncio.create_task", "loop.create_task", "loop().create_task")
        ):
            yield module.at(node, f"calls {called}: start tasks in a TaskGroup")


def prints(module: Module) -> Iterator[str]:
    for node in calls(module):
        if ast.unparse(node.func) == "print" and module.package not in MAY_PRINT:
            yield module.at(node, "prints: log it, or raise an error")


def relative_imports(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield module.at(node, "imports relatively: write the full name")


RULES = (
    unlisted,
    forbidden_imports,
    forbidden_libraries,
    impure,
    unawaited_tasks,
    prints,
    relative_imports,
)


def violations(module: Module) -> list[str]:
    return [found for rule in RULES for found in rule(module)]


PUBLIC_UNDERSCORED = {"_replace", "_asdict", "_fields", "_exit"}  # of namedtuple and os


def class_names(module: Module) -> Iterator[str]:
    return (node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))


def private_attributes(module: Module) -> Iterator[str]:
    """Yield uses of attributes with a leading underscore of anything but `self` and `cls`."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute) or node.attr in PUBLIC_UNDERSCORED:
            continue
        own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
        if node.attr.startswith("_") and not node.attr.startswith("__") and not own:
            yield module.at(node, f"uses the private attribute {ast.unparse(node)}")


def test_no_class_name_is_defined_twice() -> None:
    counts = Counter(name for module in modules() for name in class_names(module))
    assert not {name for name, count in counts.items() if count > 1}


def test_bench_uses_no_private_attribute_of_another_object() -> None:
    bench = (module for module in modules() if module.package == "bench")
    found = [line for module in bench for line in private_attributes(module)]
    assert not found, "\n".join(found)


def test_every_module_follows_the_import_and_call_rules() -> None:
    found = [line for module in modules() for line in violations(module)]
    assert not found, "\n".join(found)


def test_the_rules_name_only_packages_that_exist() -> None:
    assert {*IMPORT_RULES, *ALLOWED_LIBRARIES} - {module.package for module in modules()} == set()


@pytest.mark.parametrize(
    ("path", "source", "problem"),
    [
        ("consumer/core/x.py", "def f():\n    import torch", "x.py:2 imports torch: consumer.core"),
        ("consumer/core/x.py", "import time", "imports time: consumer.core is pure"),
        ("consumer/core/x.py", "from os import environ", "imports os.environ: consumer.core"),
        ("consumer/core/x.py", "datetime.now()", "reads a clock"),
        ("consumer/core/x.py", "from consumer import settings", "may import schemas"),
        ("consumer/core/x.py", "print(1)", "prints"),
        ("consumer/pipeline.py", "from consumer.kafka.source import Source", "imports consumer.k"),
        ("consumer/pipeline.py", "import aiokafka", "consumer.pipeline may import only"),
        (
            "consumer/engine/local.py",
            "import torch",
            "imports torch: it is owned by consumer.inference",
        ),
        ("consumer/kafka/x.py", "from consumer import engine", "imports consumer.engine"),
        ("consumer/health.py", "import bench.load", "imports bench.load: consumer.health"),
        ("consumer/__init__.py", "import consumer.service", "no other package"),
        ("consumer/__main__.py", "import consumer.kafka.source", "consumer.__main__ may import"),
        ("producer/x.py", "from consumer.core import pcm", "producer may import schemas"),
        ("schemas/x.py", "import consumer", "schemas may import no other package"),
        ("schemas/x.py", "import numpy", "schemas may import only"),
        ("consumer/attic.py", "", "attic.py:1 has no import rule"),
        ("consumer/kafka/x.py", "asyncio.create_task(f())", "start tasks in a TaskGroup"),
        ("consumer/kafka/x.py", "asyncio.get_running_loop().create_task(f())", "TaskGroup"),
        ("consumer/kafka/x.py", "from . import source", "imports relatively"),
    ],
)
def test_a_planted_violation_is_found(path: str, source: str, problem: str) -> None:
    (found,) = violations(parse(path, source))
    assert problem in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("consumer/core/x.py", "import math\nimport numpy as np\nfrom schemas.audio import Task"),
        ("consumer/core/x.py", "from consumer.core.scheduling.jobs import Job"),
        ("consumer/engine/transcriber_thread.py", "from consumer.inference.decode import decode"),
        ("consumer/kafka/x.py", "async def f(tg): tg.create_task(g())"),
        ("bench/x.py", "import torch, aiokafka\nfrom consumer.core import planner\nprint(1)"),
    ],
)
def test_allowed_imports_and_calls_pass(path: str, source: str) -> None:
    assert not violations(parse(path, source))


def loaded_by(*command: str) -> set[str]:
    """Modules that a Python run of `command` imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_importing_consumer_loads_no_heavy_library() -> None:
    assert not loaded_by("-c", "import consumer") & HEAVY


def test_the_help_of_the_console_command_loads_no_heavy_library() -> None:
    assert not loaded_by("-m", "streamscribe", "--help") & HEAVY


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_loads_torch_to_print_its_help(command: str) -> None:
    assert "torch" not in loaded_by("-m", "streamscribe", command, "--help")
