"""The files of `examples/deploy`, each by the tool that reads it, and what they say by ft-serve."""

from __future__ import annotations

import re
import shlex
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from serving import Server, Start, face_png, free_port

httpx = pytest.importorskip("httpx", reason="httpx is not installed (extra test)")
typer = pytest.importorskip("typer")
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (extra test)")

from ftsdk.serve import cli  # noqa: E402

DEPLOY = REPOSITORY / "examples" / "deploy"
_NAME = "pictures.example.org"


def _tool(name: str) -> str:
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    found = beside or shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def _said(*command: str, code: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def _documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def _pod_of_the_service() -> Any:
    """Return the pod that KServe makes of the predictor: what is left without its own fields."""
    (service,) = _documents("kserve.yaml")
    own = {"minReplicas", "maxReplicas", "containerConcurrency", "timeout"}
    pod = {key: value for key, value in service["spec"]["predictor"].items() if key not in own}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": pod}


def _containers() -> list[Any]:
    deployment, _ = _documents("kubernetes.yaml")
    pods = (deployment["spec"]["template"]["spec"], _pod_of_the_service()["spec"])
    return [container for pod in pods for container in pod["containers"]]


def _commands() -> list[list[str]]:
    """Return the arguments that every file gives to ft-serve."""
    unit = (DEPLOY / "ft-serve.service").read_text(encoding="utf-8")
    image = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    started = re.findall(r"^ExecStart=\S+/ft-serve (.*)$", unit, re.MULTILINE)
    in_image = re.findall(r"^CMD \[(\"--.*)\]$", image, re.MULTILINE)
    assert (len(started), len(in_image)) == (1, 1)
    return [
        shlex.split(started[0]),
        shlex.split(in_image[0].replace(",", " ")),
        *(container["args"] for container in _containers()),
    ]


@pytest.mark.parametrize("number", range(4))
def test_ft_serve_takes_what_the_files_say(number: int) -> None:
    commands = _commands()
    assert len(commands) == 4
    command = typer.main.get_command(cli.app)
    context = command.make_context("ft-serve", list(commands[number]))
    assert str(context.params["token_file"]).endswith("token")
    for name in context.params["allow_host"] or ():
        assert cli._host_name(name)


def test_the_dockerfile_has_no_finding_of_hadolint() -> None:
    assert _said(_tool("hadolint"), str(DEPLOY / "Dockerfile")) == ""


def test_the_deployment_fits_the_schemas_of_kubernetes() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="not installed (extra test)")
    documents = [*_documents("kubernetes.yaml"), _pod_of_the_service()]
    assert [document["kind"] for document in documents] == ["Deployment", "Service", "Pod"]
    for document in documents:
        validator.validate(document, validator.latest_version(), strict=True)
    documents[0]["spec"]["replica"] = 2
    with pytest.raises(validator.ValidationError):
        validator.validate(documents[0], validator.latest_version(), strict=True)


def test_probes_ask_what_is_answered(server: Server) -> None:
    probes = [
        probe["httpGet"]["path"]
        for container in _containers()
        for kind, probe in container.items()
        if kind.endswith("Probe")
    ]
    assert len(probes) == 5
    for path in probes:
        answer = server.client.get(path, headers={"Host": "10.1.2.3:8000"})
        assert answer.status_code == 200


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = _tool("systemd-analyze")
    unit = (DEPLOY / "ft-serve.service").read_text(encoding="utf-8")
    installed = tmp_path / "ft-serve.service"
    installed.write_text(unit.replace("/opt/ftsdk/bin/ft-serve", sys.executable))
    assert _said(analyze, "verify", str(installed)) == ""
    _said(analyze, "security", "--offline=true", "--threshold=15", str(installed))
    installed.write_text(unit.replace("Restart=on-failure", "Restart=sometimes"))
    assert "sometimes" in _said(analyze, "verify", str(installed), code=1)


@pytest.fixture
def site(start: Start, tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A real nginx with the example's site on a port of its own, before a server with a token."""
    nginx = _tool("nginx")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ("-subj", f"/CN={_NAME}", "-addext", f"subjectAltName=DNS:{_NAME}")
    made = (_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    _said(*made, "-keyout", str(key), "-out", str(certificate), *names)
    (tmp_path / "token").write_text("t" * 32)
    behind = start("--token-file", str(tmp_path / "token"), "--allow-host", _NAME)
    port = free_port()
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        f"/etc/ssl/certs/{_NAME}.pem": str(certificate),
        f"/etc/ssl/private/{_NAME}.key": str(key),
        "127.0.0.1:8000": f"127.0.0.1:{behind.port}",
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    whole = tmp_path / "nginx.conf"
    bodies = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"user root; pid {tmp_path}/pid; error_log {tmp_path}/log; daemon off; events {{}}"
    whole.write_text(f"{head}\nhttp {{ access_log off; {bodies}\n{text}\n}}\n")
    assert "test is successful" in _said(nginx, "-t", "-c", str(whole))
    running = subprocess.Popen([nginx, "-c", str(whole)])
    try:
        time.sleep(1)
        yield port, str(certificate)
    finally:
        running.terminate()
        running.wait(10)


@pytest.mark.parametrize("with_port", [True, False])
def test_a_page_behind_nginx_on_a_port_of_its_own_may_ask(
    site: tuple[int, str], with_port: bool
) -> None:
    port, certificate = site
    own = f"{_NAME}:{port}" if with_port else _NAME
    headers = {"Host": own, "Origin": f"https://{own}", "Authorization": f"Bearer {'t' * 32}"}
    octets = {"Content-Type": "application/octet-stream"}
    trust = ssl.create_default_context(cafile=certificate)
    with httpx.Client(verify=trust, base_url=f"https://127.0.0.1:{port}") as client:
        ask: Any = {"extensions": {"sni_hostname": _NAME}, "timeout": 30}
        answer = client.post("/v1/analyze", content=face_png(), headers=headers | octets, **ask)
        assert answer.status_code == 200, answer.text[:500]
        foreign = headers | {"Origin": f"https://evil.example:{port}"}
        assert client.get("/v1/model", headers=foreign, **ask).status_code == 403
        assert client.get("/metrics", headers=headers, **ask).status_code == 403


def test_it_runs_on_a_read_only_root(served_bundle: Path) -> None:
    unshare = _tool("unshare")
    mount = "mount --make-rprivate / && mount -o remount,ro,bind /"
    if subprocess.run([unshare, "-m", "bash", "-c", mount], capture_output=True).returncode:
        pytest.skip("this user may not mount")
    server = Server(served_bundle, under=[unshare, "-m", "bash", "-c", f'{mount} && exec "$@"', ""])
    try:
        server.wait_until_ready()
        files = {"picture": ("a.png", face_png() + bytes(2**21), "image/png")}
        answer = server.client.post("/v1/analyze", files=files)
        assert answer.status_code == 200, answer.text[:500]
    finally:
        server.stop()
