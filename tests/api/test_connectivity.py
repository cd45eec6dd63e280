"""Why no connection can be made: found out by trying, whatever names and servers say."""

from __future__ import annotations

import datetime as dt
import gc
import socket
import threading
import weakref

import grpc
import pytest
import trustme
from answering import Api, HttpProxy, answers_to_a_pat, http_answer, listening, silence, tls
from support import CANARY

from clarifai_magic import Credentials, connect
from clarifai_magic.api.connectivity import find_obstacle
from clarifai_magic.api.deployment import find_deployment
from clarifai_magic.api.proxies import proxy_for
from clarifai_magic.errors import (
    DeadlineError,
    ProxyError,
    RefusedConnectionError,
    TLSError,
    UnknownHostError,
    UnreachableError,
)

ELSEWHERE = "api.clarifai.example"
"""A host that no proxy of a test can reach, but every one claims to."""


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def roots(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("roots") / "ca.pem"
    path.write_bytes(authority.cert_pem.bytes())
    return str(path)


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue_cert("localhost", "127.0.0.1", "::1", ELSEWHERE)


def credentials_of(certificate):
    key = certificate.private_key_pem.bytes()
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    return grpc.ssl_server_credentials([(key, chain)])


def obstacle(base, roots=""):
    """What blocks the connection; a failed sign-in says the same."""
    found = find_obstacle(find_deployment(base, roots))
    assert found is None or "\n" not in found.message + found.hint
    return found


def over_tls(context, then=silence):
    """What a port does that speaks TLS."""

    def serve(connection):
        with context.wrap_socket(connection, server_side=True) as encrypted:
            then(encrypted)

    return serve


def failure(base, roots="", timeout=2):
    with pytest.raises(UnreachableError) as caught:
        connect(Credentials(CANARY, base=base, root_certificates=roots), timeout=timeout)
    assert CANARY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_nothing_stands_in_the_way_of_a_server_that_speaks_grpc(address):
    with Api().serving(address) as api:
        assert obstacle(api.base) is None


def test_nothing_stands_in_the_way_over_tls_with_the_right_authority(certificate, roots):
    with Api().serving("localhost", credentials_of(certificate)) as api:
        assert obstacle(api.base, roots) is None
        assert "is not trusted" in obstacle(api.base).message
        assert isinstance(failure(api.base), TLSError)


def test_the_authorities_are_those_that_grpc_uses(certificate, roots, monkeypatch):
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", roots)
    with Api().serving("localhost", credentials_of(certificate)) as api:
        assert obstacle(api.base) is None


def test_a_bundle_without_the_authority_of_a_certificate_does_not_trust_it(certificate, tmp_path):
    other = tmp_path / "other.pem"
    other.write_bytes(trustme.CA().cert_pem.bytes())
    with Api().serving("localhost", credentials_of(certificate)) as api:
        assert "is not trusted" in failure(api.base, str(other)).message


def test_a_self_signed_certificate_is_trusted_when_it_is_given_as_its_own_authority(
    certificate, tmp_path
):
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(certificate.cert_chain_pems[0].bytes())
    with Api().serving("localhost", credentials_of(certificate)) as api:
        assert obstacle(api.base, str(leaf)) is None


def test_a_certificate_for_another_host_is_told(authority, roots):
    other = authority.issue_cert("other.example")
    for address in ("localhost", "127.0.0.1"):
        with Api().serving(address, credentials_of(other)) as api:
            error = failure(api.base, roots)
            assert isinstance(error, TLSError)
            assert "is for another host name" in error.message


def test_a_certificate_that_expired_is_told(authority, roots):
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    old = authority.issue_cert("localhost", not_after=yesterday)
    with Api().serving("localhost", credentials_of(old)) as api:
        error = failure(api.base, roots)
    assert isinstance(error, TLSError)
    assert "has expired" in error.message


def test_a_server_that_wants_no_http2_is_told(certificate, roots):
    for protocols in ([], ["http/1.1"]):
        serve = over_tls(tls(certificate, *protocols), http_answer)
        with listening(serve) as port:
            error = failure(f"https://127.0.0.1:{port}", roots)
            assert isinstance(error, RefusedConnectionError)
            assert "does not speak gRPC" in error.message


def test_a_web_server_without_tls_is_told():
    with listening(http_answer) as port:
        error = failure(f"https://127.0.0.1:{port}")
        assert isinstance(error, TLSError)
        assert "does not speak TLS" in error.message
        error = failure(f"http://127.0.0.1:{port}")
        assert isinstance(error, RefusedConnectionError)
        assert "does not speak gRPC" in error.message


def test_grpc_without_tls_behind_https_is_told():
    with Api().serving() as api:
        error = failure(api.base.replace("http:", "https:"))
    assert isinstance(error, TLSError)
    assert "spell out http://" in error.hint


def test_tls_behind_http_is_told(certificate):
    with Api().serving("localhost", credentials_of(certificate)) as api:
        error = failure(api.base.replace("https:", "http:"))
    assert isinstance(error, TLSError)
    assert "https://" in error.hint


def test_a_server_that_wants_a_certificate_of_the_client_is_no_untrusted_one(certificate, roots):
    key = certificate.private_key_pem.bytes()
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    authority = trustme.CA().cert_pem.bytes()
    mutual = grpc.ssl_server_credentials([(key, chain)], authority, require_client_auth=True)
    with Api().serving("localhost", mutual) as api:
        error = failure(api.base, roots)
        assert "not trusted" not in error.message
        assert "may require a client certificate" in error.hint


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_that_accepts_and_says_nothing_is_given_up(scheme):
    with listening(silence) as port:
        error = failure(f"{scheme}://127.0.0.1:{port}", timeout=0.5)
    assert isinstance(error, DeadlineError)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_that_hangs_up_at_once_is_told(scheme):
    with listening(lambda connection: None) as port:
        assert failure(f"{scheme}://127.0.0.1:{port}").message


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]", "localhost"])
def test_a_port_where_nothing_listens_is_told(scheme, address):
    with socket.socket(socket.AF_INET6) as unused:
        unused.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # 127.0.0.1 is its, too
        unused.bind(("::", 0))
        error = failure(f"{scheme}://{address}:{unused.getsockname()[1]}")
    assert isinstance(error, RefusedConnectionError)
    assert "Nothing answers" in error.message


@pytest.mark.parametrize(
    "name", ["hassle", "handshake", "certificate", "refused", "proxy", "http1", "peer-name"]
)
def test_the_words_in_a_hosts_name_mean_nothing(name):
    assert isinstance(failure(f"https://{name}.invalid"), UnknownHostError)


@pytest.mark.parametrize(
    "details",
    [
        (
            "upstream connect error or disconnect/reset before headers. reset reason: connection "
            "failure, transport failure reason: delayed connect error: Connection refused"
        ),
        "Tls handshake failed: certificate verify failed: Hostname Verification Check failed.",
        "DNS resolution failed: Domain name not found",
        "HTTP proxy connect handshake failed: 407",
        "failed to connect to all addresses",
    ],
)
def test_a_server_that_says_unavailable_is_out_of_service_whatever_its_words(details):
    with Api().serving() as api:
        api.answers["GetUser"] = (grpc.StatusCode.UNAVAILABLE, details)
        api.answers = {**answers_to_a_pat(), **api.answers}
        error = failure(api.base, timeout=1)
        assert error.code == "unreachable"
        assert "out of service" in error.message
        assert api.calls.count("GetUser") > 1


@pytest.mark.slow
def test_the_key_is_sent_to_no_server_that_speaks_no_grpc():
    heard = bytearray()

    def record(connection):
        while data := connection.recv(4096):
            heard.extend(data)
            if data.startswith(b"PRI"):
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(record) as port:
        failure(f"http://127.0.0.1:{port}")
        failure(f"https://127.0.0.1:{port}")
    assert b"PRI * HTTP/2.0" in heard
    assert CANARY.encode() not in heard


def test_a_finding_is_not_kept_for_long_nor_for_another_place():
    with Api().serving() as api:
        assert obstacle(api.base) is None
        with listening(http_answer) as port:
            assert obstacle(f"http://127.0.0.1:{port}") is not None
        assert obstacle(api.base) is None


def test_many_threads_may_ask_at_once():
    with listening(http_answer) as port:
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(obstacle(f"http://127.0.0.1:{port}")))
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({id(each) for each in found}) == 16
    assert {str(each) for each in found} == {str(found[0])}


def proxied(monkeypatch, port, login=""):
    monkeypatch.setenv("https_proxy", f"http://{login}127.0.0.1:{port}")


def test_a_proxy_that_lets_the_call_through_is_no_obstacle(certificate, roots, monkeypatch):
    with Api().serving("localhost", credentials_of(certificate)) as api:
        proxy = HttpProxy(int(api.base.rpartition(":")[2]))
        with listening(proxy) as port:
            proxied(monkeypatch, port)
            assert obstacle(f"https://{ELSEWHERE}", roots) is None
            assert "is not trusted" in failure(f"https://{ELSEWHERE}").message
    assert proxy.heads[0].startswith(f"CONNECT {ELSEWHERE}:443 ".encode())
    assert all(CANARY.encode() not in head for head in proxy.heads)


def test_a_server_behind_a_proxy_is_out_of_service_if_it_says_so(certificate, roots, monkeypatch):
    with Api().serving("localhost", credentials_of(certificate)) as api:
        api.answers = dict.fromkeys(answers_to_a_pat(), (grpc.StatusCode.UNAVAILABLE, "proxy"))
        with listening(HttpProxy(int(api.base.rpartition(":")[2]))) as port:
            proxied(monkeypatch, port)
            assert failure(f"https://{ELSEWHERE}", roots, timeout=0.5).code == "unreachable"


@pytest.mark.parametrize(
    ("login", "answer", "words"),
    [
        ("", b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "requires a login"),
        ("me:secret@", b"HTTP/1.1 407 TLS handshake failed\r\n\r\n", "refused the login"),
        ("", b"HTTP/1.1 403 certificate\r\n\r\n", "HTTP 403"),
        ("", b"HTTP/1.0 503 Service Unavailable\r\n\r\n", "HTTP 503"),
        ("", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "does not answer like an HTTP proxy"),
        ("", b"", "does not answer"),
    ],
)
def test_what_a_proxy_refuses_is_the_proxys(monkeypatch, login, answer, words):
    proxy = HttpProxy(answer=answer)
    with listening(proxy) as port:
        proxied(monkeypatch, port, login)
        error = failure(f"https://{ELSEWHERE}")
    assert isinstance(error, ProxyError)
    assert words in error.message
    assert "https_proxy" in error.message
    assert "secret" not in str(error)
    assert (b"Proxy-Authorization: Basic bWU6c2VjcmV0" in proxy.heads[-1]) == bool(login)


def test_a_proxy_that_is_not_there_is_told_as_such(monkeypatch):
    proxied(monkeypatch, 1)
    assert isinstance(failure(f"https://{ELSEWHERE}"), ProxyError)
    monkeypatch.setenv("https_proxy", "http://nosuch.invalid:3128")
    error = failure(f"https://{ELSEWHERE}")
    assert isinstance(error, ProxyError)
    assert "was not found" in error.message


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        ({"https_proxy": "http://p:1"}, "https_proxy"),
        ({"http_proxy": "http://p:1"}, "http_proxy"),
        ({"grpc_proxy": "http://p:1", "https_proxy": "http://q:1"}, "grpc_proxy"),
        ({"grpc_proxy": "", "https_proxy": "http://q:1"}, ""),
        ({"HTTPS_PROXY": "http://p:1"}, ""),
        ({"https_proxy": "https://p:1"}, ""),
        ({"https_proxy": "p:1"}, ""),
        ({"https_proxy": "http://[bad"}, ""),
        ({"https_proxy": "http://p:1", "no_proxy": "other.example, .example"}, ""),
        ({"https_proxy": "http://p:1", "no_proxy": "other.example"}, "https_proxy"),
        ({"https_proxy": "http://p:1", "no_grpc_proxy": "", "no_proxy": "example"}, "https_proxy"),
    ],
)
def test_a_proxy_is_in_force_by_grpcs_rules(monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(find_deployment(f"https://{ELSEWHERE}"))
    assert (proxy.variable if proxy else "") == expected


def test_no_proxy_takes_networks_and_loopback_needs_none(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://p:1")
    monkeypatch.setenv("no_proxy", "192.0.2.0/24")
    assert proxy_for(find_deployment("https://192.0.2.7")) is None
    assert proxy_for(find_deployment("https://198.51.100.7")) is not None
    assert proxy_for(find_deployment("https://127.0.0.1:8443")) is None


def test_a_proxys_login_is_not_in_its_repr(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://me:secret@p:1")
    assert "bWU6" not in repr(proxy_for(find_deployment(f"https://{ELSEWHERE}")))


def test_what_is_remembered_of_an_obstacle_keeps_nothing_of_its_callers_alive():
    class Callers:
        pass

    def called():
        held = Callers()
        assert isinstance(find_obstacle(find_deployment("http://127.0.0.1:1")), UnreachableError)
        return weakref.ref(held)

    gone = called()
    gc.collect()
    assert gone() is None
