"""Agents on a kernel that they share with a person: jupyter-mcp-server, in a real JupyterLab."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pytest
from agent import Agent
from extensions import load_only
from fastmcp.client.transports import StdioTransport
from jupyter import Opened, jupyter
from support import SUMMARY

SHARED = (
    "jupyter_server_ydoc",
    "@jupyter/collaboration-extension",
    "@jupyter/docprovider-extension",
)
EXECUTES = ("jupyter_server_nbmodel", "@datalayer/jupyter-server-nbmodel", "jupyter_mcp_server")
LOAD = "%load_ext clarifai_magic"
SIGN_IN = f"{LOAD}\n%clarifai_auth"
IMPATIENT = f"""{LOAD}
from clarifai_magic.notebook.hosts.jupyter import Served
Served.prompt_patience = 1
"""
PATIENT = f"""{LOAD}
from clarifai_magic.notebook.hosts.jupyter import Served
Served.prompt_patience = 600
"""
TOKEN = "open('token', 'w').write(clarifai_session.broker.token); 'written'"
PRY = """
import os
print(clarifai_session.broker.token, metadata, clarifai_session.headers)
print(str.__str__(dict(metadata)['authorization'])[:], *dict(os.environ).items())
clarifai_session.broker.token
"""
LIST = "print(len(stub.ListModels(service_pb2.ListModelsRequest()).models), USER_ID)"


class Shared:
    """A notebook in the person's browser and, by MCP, with an agent."""

    def __init__(self, server, browser, transport, *cells):
        self.home = server.root
        file = server.notebook(f"n{len(list((server.root / 'work').iterdir()))}", *cells)
        self.page = browser.new_page()
        url = f"{server.url}/lab/workspaces/{file.stem}/tree/{file.name}"
        self.person = Opened(self.page, url, file)
        self.agent = Agent(transport)
        # The server knows it by that name as long as it runs.
        self.agent.call("use_notebook", notebook_name=file.stem, notebook_path=file.name)

    def close(self, sandbox):
        name = self.person.file.stem
        self.agent.call("read_notebook", notebook_name=name, response_format="detailed")
        self.agent.close()
        shown = self.agent.transcript + self.page.content() + self.person.file.read_text()
        shown += (self.home / "log").read_text(errors="replace")
        shown += "".join(
            file.read_text(errors="replace")
            for file in self.home.rglob("*.*")
            if file.suffix in {".ipynb", ".db", ".sqlite"}
        )
        self.page.close()
        token = self.home / "work/token"
        secrets = [*vars(sandbox.keys).values()]
        if token.exists():
            secrets.append(token.read_text())
        assert [secret for secret in secrets if secret in shown] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory, sandbox):
    home = load_only(tmp_path_factory.mktemp("jupyter") / "home", *SHARED, *EXECUTES)
    with jupyter(home, sandbox.base) as running:
        yield running


@pytest.fixture
def share(server, browser, sandbox):
    opened = []

    def made(transport, *cells):
        opened.append(Shared(server, browser, transport, *cells))
        return opened[-1]

    yield made
    for each in opened:
        each.close(sandbox)


def test_a_person_signs_in_at_a_prompt_where_the_server_executes(
    share, server, sandbox, record_property
):
    names = ("jupyter-mcp-server", "jupyter-server-nbmodel", "fastmcp")
    record_property(SUMMARY, "hosts: " + ", ".join(f"{name} {version(name)}" for name in names))
    cells = (f"{PATIENT}\n%clarifai_auth --from prompt --app-id main", TOKEN)
    shared = share(f"{server.url}/mcp", *cells)
    agent, person = shared.agent, shared.person
    assert "a person runs %clarifai_auth --from prompt in a cell, or sets" in agent.shown(SIGN_IN)
    assert "Not signed in yet: run %clarifai_auth --from prompt" in agent.shown("stub.MyScopes")
    for line in ("%clarifai_auth", "%clarifai_auth --from prompt"):
        refused = agent.execute(line)
        assert "nobody can answer a prompt here" in refused
        assert "Set CLARIFAI_PAT in the kernel's environment; or a person" in refused

    person.run(ends=False)
    box = person.page.locator(".jp-Stdin-input")
    assert box.get_attribute("type") == "password"
    box.fill(sandbox.keys.pat)
    box.press("Enter")
    person.says("Signed in as alice")
    person.run(2)
    person.says("written")
    assert "alice" in agent.shown(LIST)
    assert "[clarifai key]" in agent.shown(PRY)
    assert "[clarifai key]" in agent.execute(PRY)


def test_an_agent_at_the_prompt_waits_for_nobody(share, server):
    shared = share(f"{server.url}/mcp", "1")
    shared.agent.run(IMPATIENT)
    # The server answers for the agent; the cell has the line once its time is over.
    assert "Unexpected input request" in shared.agent.run("%clarifai_auth --from prompt")
    shared.person.says("nobody answered it within 1 seconds.")
    shared.person.says("a person runs %clarifai_auth --from prompt in a cell, or sets")
    last = shared.agent.call("read_cell", cell_index=2)
    assert "A person types the key at the prompt, within 1 seconds. An agent cannot" in last
    assert "free" in shared.agent.shown("'free'")


def test_a_person_signs_in_by_the_form_of_their_own_cell(share, server, sandbox):
    load_only(server.root, *SHARED)  # a page that is opened now executes its cells itself
    options = [f"--{kind}-url={server.url}" for kind in ("code-sandbox", "document")]
    command = ["-m", "jupyter_mcp_server", "start", "--transport=stdio", *options]
    transport = StdioTransport(sys.executable, [*command, "--start-new-code-sandbox=False"])
    shared = share(transport, SIGN_IN, TOKEN)
    agent, person = shared.agent, shared.person
    agent.run(IMPATIENT)
    assert "a person runs %clarifai_auth in this kernel's notebook" in agent.shown("%clarifai_auth")
    agent.run("%clarifai_auth --from prompt")
    assert "free" in agent.shown("'free'")
    person.run()
    person.sign_in(sandbox.keys.other_pat)
    person.says("Signed in as bob")
    person.run(2)
    person.says("written")
    assert "bob" in agent.shown(LIST)
    assert "[clarifai key]" in agent.shown(PRY)
