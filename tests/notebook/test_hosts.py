"""Who is at the other end of a cell, told by what real kernels are sent and started with."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.session import Session
from kernel import LOAD, PageSession
from support import MEASURED

if TYPE_CHECKING:
    from collections.abc import Callable

INVITED = "To sign in to Clarifai, a person runs %clarifai_auth --from prompt in a cell, or sets"
NEVER = "what is never answered"
TELL = "from clarifai_magic.notebook.hosts import current; print(type(current()).__name__, end='')"


class Client:
    """A program that sends cells to a kernel, and answers what they ask."""

    def __init__(self, manager: KernelManager, session: Callable[..., Session]) -> None:
        self._client = manager.client(session=session(key=manager.session.key))
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def close(self) -> None:
        self._client.stop_channels()

    def says(self, cell: str, *, answer: str | None = None, asks: bool = True) -> str:
        """The text of a cell's outputs."""
        said = []

        def heard(message: dict) -> None:
            content = message["content"]
            data = content.get("data", {})
            said.append(content.get("text", "") or data.get("text/plain", ""))
            said.extend(content.get("traceback", []))

        def asked(message: dict) -> None:
            said.append(message["content"]["prompt"])
            assert message["content"]["password"]
            if answer is not NEVER:
                self._client.input(answer)

        hook = asked if answer is not None else None
        self._client.execute_interactive(
            cell, output_hook=heard, stdin_hook=hook, allow_stdin=asks, timeout=60
        )
        return "".join(said)


@pytest.fixture(scope="module", params=["a server's", "a program's"])
def kernel(request, tmp_path_factory):
    """A kernel as a Jupyter server starts it for a notebook, or another program for itself."""
    manager = KernelManager(kernel_name="python3")
    bare = {"PATH": os.defpath, "HOME": str(tmp_path_factory.mktemp("home")), "LANG": "C.UTF-8"}
    if request.param == "a server's":
        bare["JPY_SESSION_NAME"] = "/home/alice/notebook.ipynb"
    manager.start_kernel(env=bare | MEASURED)
    manager.is_servers = request.param == "a server's"
    yield manager
    manager.shutdown_kernel()


@pytest.fixture
def client(kernel, request):
    clients = []

    def made(session: Callable[..., Session]) -> Client:
        clients.append(Client(kernel, session))
        return clients[-1]

    yield made
    for each in clients:
        each.close()


@pytest.mark.slow
def test_the_request_tells_who_sent_the_cell(client, kernel):
    page, program = client(PageSession), client(partial(Session, session="of_my_own"))
    assert page.says(TELL) == "Page"
    assert program.says(TELL) == ("Served" if kernel.is_servers else "Console")
    assert page.says(TELL, asks=False) == "Kernel"
    unasked = program.says(TELL, asks=False)
    assert unasked == ("ServedUnasked" if kernel.is_servers else "Kernel")


def test_a_plain_sign_in_asks_as_can_be_answered_there(client, kernel, sandbox):
    program = client(Session)
    program.says(f"{LOAD}\n%env CLARIFAI_API_BASE={sandbox.base}")
    said = program.says("%clarifai_auth --app-id main", answer=sandbox.keys.pat)
    if kernel.is_servers:
        assert said.startswith(INVITED)
        line = "Not signed in yet: run %clarifai_auth --from prompt, then run this cell again."
        assert line in program.says("stub.MyScopes")
        assert program.says("clarifai_session") == "<not signed in yet>"
        signed_in = program.says("%clarifai_auth --from prompt", answer=sandbox.keys.api_key)
        assert "Clarifai PAT or API key" in signed_in
        assert "alice · API key from the prompt · app main" in signed_in
    else:
        assert said.startswith("Clarifai PAT or API key (at 127.0.0.1): ")
        assert "Signed in as alice · PAT from the prompt" in said
    assert program.says("print(USER_ID, APP_ID)") == "alice main\n"
    assert program.says("%clarifai_auth logout").startswith("Signed out.")
    assert "NameError" in program.says("stub")
    program.says("%unload_ext clarifai_magic")


@pytest.mark.parametrize("kernel", ["a server's"], indirect=True)
def test_nobody_is_asked_twice_and_nothing_is_left_of_a_line(client, kernel, sandbox):
    program = client(Session)
    program.says(f"{LOAD}\n%env CLARIFAI_API_BASE={sandbox.base}")
    for _ in range(2):
        assert program.says("%clarifai_auth").startswith(INVITED)
    assert program.says("%clarifai_auth --as work").startswith(INVITED)
    assert program.says("work.stub").count("run %clarifai_auth --from prompt") == 1
    assert program.says("%clarifai_auth logout") == "Not signed in.\n"
    assert "NameError" in program.says("stub")
    assert "NameError" in program.says("work")
    assert "No key from the form" not in program.says("%clarifai_auth --from form")
    program.says("%unload_ext clarifai_magic")
    assert "NameError" in program.says("stub")


def test_an_empty_answer_is_an_error_at_once(client, kernel):
    program = client(Session)
    said = program.says(f"{LOAD}\n%clarifai_auth --from prompt", answer="")
    assert "No key from the prompt: nobody answered the prompt." in said
    assert "CLARIFAI_PAT" in said
    program.says("%unload_ext clarifai_magic")


def test_where_nobody_is_asked_the_error_says_what_a_person_does(client, kernel):
    program = client(Session)
    for line in ("%clarifai_auth", "%clarifai_auth --from prompt"):
        said = program.says(f"{LOAD}\n{line}", asks=False)
        assert "nobody can answer a prompt here" in said
        assert "Set CLARIFAI_PAT" in said
        assert ("New Console for Notebook" in said) == kernel.is_servers
    program.says("%unload_ext clarifai_magic")


def test_a_form_in_python_says_what_to_do_instead(client, kernel):
    program = client(Session)
    said = program.says("import clarifai_magic; clarifai_magic.login_form()")
    assert "Nobody can fill in a form here." in said
    assert (
        "--from prompt" if kernel.is_servers else "Run %clarifai_auth and answer its prompt"
    ) in said


class OthersSession(Session):
    """What a program sends to a kernel that another has started."""

    @property
    def msg_id(self) -> str:
        return super().msg_id.replace(f"_{os.getpid()}_", f"_{os.getppid()}_")


def test_a_program_on_anothers_kernel_learns_what_a_person_does(client, sandbox):
    program = client(OthersSession)
    assert program.says(TELL) == "Attached"
    program.says(f"{LOAD}\n%env CLARIFAI_API_BASE={sandbox.base}")
    said = program.says("%clarifai_auth")
    assert said.startswith("To sign in to Clarifai, a person runs %clarifai_auth in this kernel's")
    assert "or sets CLARIFAI_PAT" in said
    program.says("%unload_ext clarifai_magic")


def test_a_prompt_that_an_agent_may_have_asked_for_ends_by_itself(client, sandbox):
    program = client(OthersSession)
    program.says(f"{LOAD}\n%env CLARIFAI_API_BASE={sandbox.base}")
    program.says(
        "from clarifai_magic.notebook.hosts import jupyter; jupyter.Served.prompt_patience = 1"
    )
    said = program.says("%clarifai_auth --from prompt", answer=NEVER)
    assert "A person types the key at the prompt, within 1 seconds. An agent cannot" in said
    assert "No key from the prompt: nobody answered it within 1 seconds." in said
    assert "a person runs %clarifai_auth in this kernel's notebook" in said
    assert program.says("print('the kernel', 'is free')") == "the kernel is free\n"
    program.says("%unload_ext clarifai_magic")


def test_where_nobody_can_answer_a_prompt_is_an_error_at_once(client):
    program = client(OthersSession)
    program.says(LOAD)
    said = program.says("%clarifai_auth --from prompt", asks=False)
    assert "No key from the prompt: nobody can answer a prompt here." in said
    assert "a person runs %clarifai_auth in this kernel's notebook" in said
    program.says("%unload_ext clarifai_magic")
