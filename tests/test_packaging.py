"""The compose file, the Dockerfile and the locks, compared with the project and its settings."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from consumer.settings import Settings, from_environment
from devstack.kafka_jars import KAFKA_VERSION

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE = cast("dict[str, Any]", yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text()))
SERVICES = COMPOSE["services"]
GPU_WORKERS = ("worker", "worker-1", "worker-2", "worker-3")
WORKERS = (*GPU_WORKERS, "worker-cpu")
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "deploy/Dockerfile").read_text())

SETTINGS = {f"STREAMSCRIBE_{field.name.upper()}" for field in dataclasses.fields(Settings)}


def instructions(name: str) -> list[str]:
    """Return the arguments of each instruction `name` in the Dockerfile."""
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def locked(name: str) -> dict[str, str]:
    """Return the pinned version of each package in a lock."""
    text = (ROOT / "locks" / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*])?==([^ ;]+)", text, re.MULTILINE))


def test_every_setting_in_the_compose_file_exists() -> None:
    given = {name for worker in WORKERS for name in SERVICES[worker]["environment"]}
    own = {name for name in given if name.startswith("STREAMSCRIBE_")}
    assert own
    assert not own - SETTINGS


@pytest.mark.parametrize("worker", WORKERS)
def test_the_compose_settings_of_the_worker_are_valid(worker: str) -> None:
    given = {name: default_of(value) for name, value in SERVICES[worker]["environment"].items()}
    settings = from_environment(given)
    assert settings.http_host == "0.0.0.0"  # other containers may check its health
    assert settings.device in {"cuda", "cpu"}


def default_of(value: object) -> str:
    """Return the value of `${NAME:-default}` if NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)}", r"\1", str(value))


def test_the_bootstrap_address_is_one_that_kafka_advertises() -> None:
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    for service in ("topics", *WORKERS):
        address = SERVICES[service]["environment"]["STREAMSCRIBE_BOOTSTRAP"]
        assert f"INTERNAL://{address}" in advertised.split(",")


@pytest.mark.parametrize("service", SERVICES)
def test_images_have_a_version(service: str) -> None:
    name, _, tag = SERVICES[service]["image"].partition(":")
    assert re.match(r"\d+\.\d+", tag), f"{name} needs a version"


def test_the_images_have_the_versions_of_the_project_and_of_the_tested_kafka() -> None:
    assert SERVICES["worker"]["image"].startswith(f"streamscribe:{PROJECT['version']}-")
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_each_worker_has_a_profile_and_the_broker_has_none() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert profiles == {
        "kafka": [],
        "topics": [],
        "worker": ["gpu", "gpu2", "gpu4"],
        "worker-1": ["gpu2", "gpu4"],
        "worker-2": ["gpu4"],
        "worker-3": ["gpu4"],
        "worker-cpu": ["cpu"],
    }


def test_each_gpu_worker_reserves_a_gpu_of_its_own_and_cannot_be_scaled() -> None:
    reserved = []
    for name in GPU_WORKERS:
        worker = SERVICES[name]
        (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
        assert "count" not in device  # the first ones, for every container
        reserved += [default_of(each) for each in device["device_ids"]]
        assert worker["environment"]["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
        assert "NVIDIA_VISIBLE_DEVICES" not in worker["environment"]  # the reservation sets it
        assert worker["container_name"] == f"streamscribe-{name}"
    assert reserved == ["0", "1", "2", "3"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_limits_a_health_check_and_time_to_drain(name: str) -> None:
    worker = SERVICES[name]
    assert worker["deploy"]["resources"]["limits"]["memory"] == "16G"
    assert f":{worker['environment']['STREAMSCRIBE_HTTP_PORT']}/readyz" in str(
        worker["healthcheck"]
    )
    assert worker["restart"] == "unless-stopped"
    assert int(worker["stop_grace_period"].removesuffix("s")) > Settings().drain_s


def test_volumes_are_declared_and_mounted_where_the_image_has_its_weights() -> None:
    mounts = {
        tuple(mount.split(":"))
        for service in SERVICES.values()
        for mount in service.get("volumes", [])
    }
    assert {volume for volume, _ in mounts} == set(COMPOSE["volumes"])
    assert ("weights", *instructions("VOLUME")) in mounts


def test_build_arguments_exist_in_the_dockerfile() -> None:
    given = SERVICES["worker"]["build"]["args"]
    assert not set(given) - {argument.partition("=")[0] for argument in instructions("ARG")}


def test_stages_build_on_earlier_stages() -> None:
    stages = [re.split(r" AS ", stage) for stage in instructions("FROM")]
    names = [name for _, name in stages]
    assert {"base", "torch", "application"} < set(names)
    assert names[-1] == "application"
    for number, (parent, name) in enumerate(stages[1:], start=1):
        assert parent in names[:number], f"{name} builds on {parent}, which is no earlier stage"


def test_copied_files_exist_and_are_not_ignored() -> None:
    context = (ROOT / ".dockerignore").read_text().splitlines()
    for line in instructions("COPY"):
        if line.startswith("--from="):
            continue
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert {f"!{source}", f"!{source}/", f"!{source.partition('/')[0]}/"} & set(context), (
                source
            )


def test_every_package_is_copied() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    packages = hatch["build"]["targets"]["wheel"]["packages"]
    copied = {word for line in instructions("COPY") for word in line.split()}
    assert not set(packages) - copied


def test_packages_of_the_lock_are_installed_with_hashes() -> None:
    installs = re.findall(r"pip install[^;&]*", "\n".join(instructions("RUN")))
    from_locks = [line for line in installs if "/locks/" in line and "$(grep" not in line]
    assert len(from_locks) == 4  # uv, torch, torch for CUDA 12, the rest
    assert all("--require-hashes" in line for line in from_locks)


def test_the_lock_for_cuda_12_has_no_package_of_another_version_than_the_locks_of_the_image() -> (
    None
):
    image, cuda12 = locked("runtime.txt"), locked("torch-cuda12.txt")
    heavy = {name for name in cuda12 if re.match("torch|triton|nvidia-|cuda-", name)}
    assert any(name.endswith("-cu12") for name in heavy)
    light = cuda12.keys() - heavy
    assert {name: cuda12[name] for name in light} == {name: image[name] for name in light}


def test_the_container_runs_as_an_unprivileged_user_and_receives_signals() -> None:
    assert instructions("USER") == ["streamscribe"]
    assert instructions("ENTRYPOINT") == ['["streamscribe"]']


def test_the_base_image_can_be_pinned_by_its_digest() -> None:
    assert 'PYTHON_DIGEST=""' in instructions("ARG")
    assert instructions("FROM")[0] == "${PYTHON_IMAGE}${PYTHON_DIGEST:+@${PYTHON_DIGEST}} AS base"
    assert SERVICES["worker"]["build"]["args"]["PYTHON_DIGEST"] == "${PYTHON_DIGEST:-}"


@pytest.mark.parametrize("name", ["topics", *WORKERS])
def test_containers_have_a_read_only_root_and_no_capabilities(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


UNREACHABLE = "http://127.0.0.1:1"
NO_NETWORK = dict.fromkeys(
    ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), UNREACHABLE
) | {
    "NO_PROXY": "",
    "no_proxy": "",
}


def make(target: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a make target without network and caches, in this environment instead of make's own."""
    given = [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(
        [
            "make",
            "--no-print-directory",
            "-o",
            "install",
            target,
            f"BIN={Path(sys.executable).parent}",
            *given,
        ],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        env=os.environ
        | NO_NETWORK
        | dict.fromkeys(("HOME", "XDG_CACHE_HOME", "PIP_CACHE_DIR"), str(home)),
        check=False,
    )


def test_the_bill_of_materials_lists_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    made = make("sbom", tmp_path, SBOM=str(file))
    assert made.returncode == 0, made.stderr
    bill = json.loads(file.read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "streamscribe"
    named = {part["name"]: part["version"] for part in bill["components"]}
    assert named == locked("runtime.txt")
    for part in bill["components"]:
        assert any(link.get("hashes") for link in part["externalReferences"]), part["name"]


def test_an_audit_without_the_vulnerability_database_fails_with_one_line(tmp_path: Path) -> None:
    made = make("audit", tmp_path)
    assert made.returncode != 0, made.stdout
    (line,) = made.stdout.splitlines()
    assert line.startswith("audit: the vulnerability database gave no answer: ")
    assert len(line) < 300


def test_no_registry_is_hard_coded() -> None:
    for path in ("docker-compose.kafka.yml", "deploy/Dockerfile", "Makefile", "pyproject.toml"):
        hosts = re.findall(r"https?://([^/\s'\"]+)", (ROOT / path).read_text())
        assert {host.partition(":")[0] for host in hosts} <= {"localhost"}, path


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_the_locks_contain_every_declared_dependency(name: str) -> None:
    declared = {re.split(r"[\[<>=]", line)[0].lower() for line in PROJECT["dependencies"]}
    assert not declared - set(locked(name))


def test_the_locks_have_the_same_versions() -> None:
    runtime, dev = locked("runtime.txt"), locked("dev.txt")
    assert runtime.items() <= dev.items()
    assert locked("uv.txt").items() <= dev.items()
