"""The doctor's report: complete, without a key, in time, and with no network too."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from answering import HttpProxy, listening
from support import CANARY

from clarifai_magic.notebook import doctor
from clarifai_magic.sandbox import Sandbox

HEADINGS = ["versions", "imports", "proxy", "sources", "base", "DNS", "TCP", "TLS", "REST", "gRPC"]


def test_everything_is_reported_of_a_deployment_that_works(environment, sandbox):
    environment(PAT=sandbox.keys.pat)
    text = doctor.report()
    for heading in HEADINGS:
        assert f"\n{heading} " in f"\n{text}"
    assert "the environment: a key (CLARIFAI_PAT in the environment)" in text
    assert "CLARIFAI_API_BASE, CLARIFAI_PAT" in text
    assert "HTTP 200 in" in text
    assert "answered in" in text
    assert sandbox.keys.pat not in text


def test_tls_is_looked_into():
    with Sandbox(tls=True) as secure:
        trusted = doctor.report(secure.base, secure.root_certificates)
        doubted = doctor.report(secure.base)
    assert "issued by" in trusted
    assert ", until " in trusted
    assert "CERTIFICATE_VERIFY_FAILED" in doubted
    assert "is not trusted" in doubted
    assert "--root-certificates PATH" in doubted


def test_the_sessions_ca_bundle_is_for_the_sessions_place_alone(shell, monkeypatch):
    with Sandbox(tls=True) as own, Sandbox(tls=True) as other:
        monkeypatch.setenv("CLARIFAI_PAT", own.keys.pat)
        place = f"--base {own.base} --root-certificates {own.root_certificates}"
        shell.run(f"%clarifai_auth {place} --no-verify")
        assert f"CA bundle {own.root_certificates}" in shell.run("%clarifai_auth doctor")
        same = own.base.replace("localhost", "LOCALHOST")
        assert "answered in" in shell.run(f"%clarifai_auth doctor --base {same}")
        monkeypatch.setenv("CLARIFAI_ROOT_CERTIFICATES_PATH", str(other.root_certificates))
        text = shell.run(f"%clarifai_auth doctor --base {other.base}")
        assert f"CA bundle {other.root_certificates}" in text
        assert "answered in" in text
        assert "scheme is ftp://" in shell.run("%clarifai_auth doctor --base ftp://example.com")


def test_without_a_network_the_rest_is_reported():
    text = doctor.report("https://nosuch.invalid")
    assert "The host of https://nosuch.invalid was not found." in text
    assert "clarifai-grpc 1" in text


@pytest.mark.slow
def test_a_silent_host_does_not_hold_the_report_up(monkeypatch):
    monkeypatch.setattr(doctor, "PATIENCE", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = doctor.report(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert "TCP        connected" in text
    assert "No answer from" in text or "no result within" in text


def test_a_base_that_cannot_be_one_is_a_finding():
    assert "scheme is ftp://" in doctor.report("ftp://example.com")


def test_an_upper_case_proxy_that_grpc_ignores_is_pointed_out(monkeypatch, sandbox):
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{CANARY}@proxy.invalid")
    text = doctor.report(sandbox.base)
    assert "gRPC ignores HTTPS_PROXY in upper case" in text
    assert CANARY not in text


def test_a_proxy_on_the_way_is_gone_through(monkeypatch):
    with Sandbox(tls=True) as secure:
        port = int(secure.base.rpartition(":")[2])
        with listening(HttpProxy(port)) as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy}")
            text = doctor.report("https://api.clarifai.example", secure.root_certificates)
    assert "(the proxy in https_proxy)" in text
    # The sandbox's certificate is for another host, which only who arrives there can see.
    assert "is for another host name" in text


def test_a_proxy_that_wants_a_login_is_named(monkeypatch):
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    with listening(HttpProxy(answer=answer)) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy}")
        text = doctor.report("https://api.clarifai.example")
    assert text.count("The proxy in https_proxy requires a login.") >= 3


def test_a_client_that_cannot_be_imported_is_a_finding(tmp_path):
    broken = tmp_path / "clarifai_grpc" / "grpc" / "api"
    broken.mkdir(parents=True)
    (tmp_path / "clarifai_grpc" / "__init__.py").write_text("raise TypeError('gencode too new')")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from clarifai_magic.notebook.doctor import report; print(report())",
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "CLARIFAI_API_BASE": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be imported (TypeError: gencode too new)" in done.stdout
    assert "pip install --upgrade clarifai-grpc grpcio protobuf" in done.stdout
    assert "DNS        127.0.0.1" in done.stdout


@pytest.mark.parametrize("line", ["%clarifai_auth doctor", "%clarifai_auth doctor --base ftp://x"])
def test_the_magic_prints_it(shell, environment, sandbox, line):
    environment(PAT=sandbox.keys.pat)
    said = shell.run(line)
    assert "versions   Python" in said
    assert "the guard searches for keys with" in said
