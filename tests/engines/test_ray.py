"""Ray: workers that are killed, nodes on a network, and where keys are on disk."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import psutil
import pytest
from conftest import (
    OF_THE_APP,
    PREDICTING,
    files_with,
    in_the_middle,
    once,
    prepared,
    without_ids,
    worker_keys,
)
from contract import Contract
from support import prediction, text_input

from clarifai_magic.bulk.ray import Ray
from clarifai_magic.client.internals import internals
from clarifai_magic.errors import CallError, ItemsError


def workers():
    """The processes that make calls just now."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "worked" in " ".join(each.cmdline()):
                found.append(each.pid)
    return found


def kill_a_worker_once(condition):
    found = []

    def is_time():
        found[:] = workers()  # first, because it takes longer than their work may last
        return found and condition()

    return once(is_time, lambda: os.kill(found[0], signal.SIGKILL))


class TestAsOnAnyCluster(Contract):
    @pytest.fixture
    def client(self, ray):
        return ray


def test_a_killed_worker_does_not_cost_an_answer(session, ray):
    answers = prepared(
        session, "PostModelOutputs", [prediction(i) for i in range(1500)], client=ray
    )
    thread = kill_a_worker_once(lambda: len(answers) - len(answers.left) > 100)
    answers.resume()
    thread.join(60)
    assert not thread.is_alive()
    assert not answers.failures
    assert [answer.outputs[0].input.id for answer in answers] == [f"item-{i}" for i in range(1500)]


def test_what_a_killed_worker_may_have_done_is_not_done_twice(session, ray, added):
    answers = prepared(session, "PostInputs", without_ids(4000), batch=1, client=ray)
    kill_a_worker_once(in_the_middle(added))
    answers.resume()
    assert answers.failures
    assert all(error.maybe_done for error in answers.failures.values())
    assert len(answers) - len(answers.left) <= added() <= len(answers)


def test_no_key_is_in_rays_logs_and_folders(session, ray, ray_folder):
    answers = prepared(
        session, "PostModelOutputs", [text_input(i) for i in range(20)], request=OF_THE_APP,
        batch=1, client=ray, scopes=PREDICTING,
    )  # fmt: skip
    seen = set()
    take = answers.take
    answers.take = lambda *outcome: (seen.update(worker_keys(session)), take(*outcome))
    answers.resume()
    keys = {*seen, str.__str__(internals(session).found.credentials.key)}
    assert len(keys) == 2
    assert not files_with(ray_folder, keys)


class Nodes:
    """What is asked of the module `ray`, for a cluster on a network."""

    def __init__(self, *addresses):
        self.util = type("util", (), {"get_node_ip_address": staticmethod(lambda: "10.0.0.1")})
        self.nodes = lambda: [
            {"Alive": True, "NodeManagerAddress": each, "Resources": {"CPU": 2.0}}
            for each in addresses
        ]
        self.is_initialized = lambda: bool(addresses)
        self.remote = lambda **_: lambda function: function


def test_nodes_on_the_network_need_tls_or_leave(monkeypatch):
    assert Ray(Nodes("10.0.0.1"), insecure=False).threads() == 2
    away = Nodes("10.0.0.1", "10.0.0.2")
    with pytest.raises(CallError, match="in plaintext"):
        Ray(away, insecure=False).threads()
    assert Ray(away, insecure=True).threads() == 4
    monkeypatch.setenv("RAY_USE_TLS", "1")
    assert Ray(away, insecure=False).threads() == 4


def test_ray_that_is_not_initialised_is_refused_in_one_line():
    with pytest.raises(ItemsError, match="not initialised"):
        Ray(Nodes(), insecure=False)
