"""What ``deploy/`` says can be read by those who will read it; ``deploy/check`` runs it, which takes minutes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from containerfile import NotUnderstood, read
from support.paths import ROOT
from support.ports import free_port

DEPLOY = ROOT / "deploy"
UNITS = sorted(path.name for path in (DEPLOY / "systemd").glob("*.service"))


def yaml_of(path: Path) -> Any:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_every_step_of_the_image_is_one_that_the_check_runs() -> None:
    steps = read(DEPLOY / "Containerfile")
    assert [step.name for step in steps].count("FROM") == 2
    (user,) = [step.text for step in steps if step.name == "USER"]
    assert user == "10001:10001", "Kubernetes' runAsNonRoot wants numbers"
    assert json.loads(next(step.text for step in steps if step.name == "CMD"))[0] == "serve"


def test_a_step_that_the_check_does_not_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "Containerfile"
    file.write_text("FROM x\nRUN a \\\n  # why\n  && b\nONBUILD RUN c\n", encoding="utf-8")
    with pytest.raises(NotUnderstood, match="line 5: ONBUILD"):
        read(file)
    file.write_text("FROM x\nRUN a \\\n  # why\n  && b\n", encoding="utf-8")
    assert [(step.name, step.text, step.line) for step in read(file)] == [("FROM", "x", 1), ("RUN", "a && b", 2)]


def test_the_image_has_the_versions_that_are_tested() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))

    image = pins("deploy/requirements.lock")
    assert len(image) > 50
    assert not image - pins("requirements-dev.lock")


def test_the_compose_file_is_one() -> None:
    (compose,) = yaml_of(DEPLOY / "compose.yaml")
    jsonschema.validate(compose, get_builtin_schema("vendor.compose-spec"))
    server = compose["services"]["facepool"]
    assert (server["read_only"], server["cap_drop"], server["user"]) == (True, ["ALL"], "10001:10001")
    assert not re.search(r"PASSWORD: |://\w+:\w+@", (DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    named = {Path(secret["file"]).name for secret in compose["secrets"].values()}
    assert all(name in (DEPLOY / "make-secrets").read_text(encoding="utf-8") for name in named)


def test_what_the_services_name_is_in_the_compose_file() -> None:
    (compose,) = yaml_of(DEPLOY / "compose.yaml")
    services = compose["services"]
    assert {"facepool", "postgres", "mosquitto", "nginx", "milvus"} == set(services)
    for service in services.values():
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        assert set(service.get("networks", ())) <= set(compose["networks"])
        assert set(service.get("depends_on", ())) <= set(services)
        sources = [volume.split(":")[0] for volume in service.get("volumes", ())]
        assert all(source in compose["volumes"] or (DEPLOY / source).exists() for source in sources)


def test_the_manifests_are_what_kubernetes_takes() -> None:
    manifests = [
        manifest
        for name in ("namespace", "facepool", "network", "backup")
        for manifest in yaml_of(DEPLOY / "kubernetes" / f"{name}.yaml")
    ]
    assert len(manifests) == 9
    for manifest in manifests:
        kubernetes_validate.validate(manifest, "1.32", strict=True)
    (deployment,) = [found for found in manifests if found["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert "memory" in container["resources"]["limits"]
    (server,) = pod["containers"]
    assert server["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert server["livenessProbe"]["httpGet"]["path"] == "/health"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS)
def test_the_units_are_well_formed_and_confined(unit: str, tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / unit).read_text(encoding="utf-8")
    here = tmp_path / unit
    here.write_text(text.replace("/opt/facepool/bin/facepool", sys.executable), encoding="utf-8")
    verified = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", here],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout[-200:]


def test_a_health_check_without_a_server_fails() -> None:
    asked = [sys.executable, str(DEPLOY / "health.py"), "/health", str(free_port())]
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "nobody answers" in told.stdout
