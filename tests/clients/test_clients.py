"""Other people's clients, signed in by this package: they work, and none of them holds the key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from peers import held

MODEL = "https://clarifai.com/openai/chat-completion/models/gpt-oss-120b"
REPLY = "This is the sandbox, not a language model. Your input has 2 words; strongest features: red, dog."
API = "https://api.clarifai.com"
OPENAI = "/v2/ext/openai/v1"
MCP = "/v2/ext/mcp/v1/users/openai/apps/chat-completion/models/gpt-oss-120b"

# Each with what it takes from the environment, and as a documentation writes it that knows of no
# environment. What they are asked, and the reply, are the same.
EXPORTED = {
    "openai": """
from openai import OpenAI
client = OpenAI(max_retries=0)
answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)
reply = answer.choices[0].message.content
""",
    "openai, streamed": """
from openai import OpenAI
client = OpenAI(max_retries=0)
parts = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
reply = "".join(part.choices[0].delta.content or "" for part in parts)
""",
    "openai, awaited": """
from openai import AsyncOpenAI
client = AsyncOpenAI(max_retries=0)
answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
reply = answer.choices[0].message.content
""",
    "openai, awaited and streamed": """
from openai import AsyncOpenAI
client = AsyncOpenAI(max_retries=0)
parts = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
reply = "".join([part.choices[0].delta.content or "" async for part in parts])
""",
    "openai, responses": """
from openai import OpenAI
client = OpenAI(max_retries=0)
answer = client.responses.create(model=MODEL, input=PROMPT)
reply = answer.output_text
""",
    "litellm, openai/": """
import litellm
answer = litellm.completion(model="openai/" + MODEL, messages=MESSAGES)
reply = answer.choices[0].message.content
""",
    "litellm, clarifai/": """
import os
import litellm
answer = litellm.completion(
    model="clarifai/openai.chat-completion.gpt-oss-120b",
    messages=MESSAGES,
    api_base=os.environ["CLARIFAI_API_BASE"] + "/v2/ext/openai/v1",
)
reply = answer.choices[0].message.content
""",
    "litellm, awaited and streamed": """
import litellm
parts = await litellm.acompletion(model="openai/" + MODEL, messages=MESSAGES, stream=True)
reply = "".join([part.choices[0].delta.content or "" async for part in parts])
""",
    "langchain": """
from langchain_openai import ChatOpenAI
client = ChatOpenAI(model=MODEL, max_retries=0)
answer = client.invoke(PROMPT)
reply = answer.content
""",
    "llama-index": """
from llama_index.llms.openai_like import OpenAILike
client = OpenAILike(model=MODEL, is_chat_model=True, max_retries=0)
answer = client.complete(PROMPT)
reply = answer.text
""",
    "fastmcp": """
import os
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
transport = StreamableHttpTransport(
    os.environ["CLARIFAI_API_BASE"] + TOOLS,
    headers={"Authorization": "Bearer " + os.environ["CLARIFAI_PAT"]},
)
async with Client(transport) as client:
    tools = await client.list_tools()
    answer = await client.call_tool(tools[0].name, {"text": PROMPT})
reply = answer.content[0].text
""",
    "mcp": """
import os
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
http = httpx2.AsyncClient(headers={"Authorization": "Bearer " + os.environ["CLARIFAI_PAT"]})
url = os.environ["CLARIFAI_API_BASE"] + TOOLS
async with http, Client(streamable_http_client(url, http_client=http)) as client:
    found = await client.list_tools()
    answer = await client.call_tool(found.tools[0].name, {"text": PROMPT})
reply = answer.content[0].text
""",
}
WRITTEN_DOWN = {
    "OpenAI(": f'OpenAI(base_url="{API}{OPENAI}", api_key="YOUR_PAT_HERE", ',
    '"openai/" + MODEL,': f'"openai/" + MODEL, api_base="{API}{OPENAI}", api_key="YOUR_PAT_HERE",',
    'os.environ["CLARIFAI_API_BASE"] + TOOLS': f'"{API}{MCP}"',
    'os.environ["CLARIFAI_PAT"]': '"YOUR_PAT_HERE"',
    "OpenAILike(": f'OpenAILike(api_base="{API}{OPENAI}", api_key="YOUR_PAT_HERE", ',
    'api_base=os.environ["CLARIFAI_API_BASE"] + "/v2/ext/openai/v1"': 'api_key="YOUR_PAT_HERE"',
}
OF_THE_SESSION = {
    "litellm": """
import litellm
client = clarifai_session.openai()
answer = litellm.completion(model="openai/" + MODEL, messages=MESSAGES, client=client)
reply = answer.choices[0].message.content
""",
    "langchain": """
from langchain_openai import ChatOpenAI
root = clarifai_session.openai()
client = ChatOpenAI(model=MODEL, client=root.chat.completions, root_client=root, api_key="none")
answer = client.invoke(PROMPT)
reply = answer.content
""",
    "llama-index": """
from llama_index.llms.openai_like import OpenAILike
client = OpenAILike(model=MODEL, is_chat_model=True, openai_client=clarifai_session.openai())
answer = client.complete(PROMPT)
reply = answer.text
""",
    "mcp": """
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
http = httpx2.AsyncClient(auth=clarifai_session.auth)
url = clarifai_session.base + TOOLS
async with http, Client(streamable_http_client(url, http_client=http)) as client:
    answer = await client.call_tool("predict", {"text": PROMPT})
reply = answer.content[0].text
""",
    "fastmcp": """
import httpx2
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
def signed(**options):
    return httpx2.AsyncClient(**options | {"auth": clarifai_session.auth})
transport = StreamableHttpTransport(clarifai_session.base + TOOLS, httpx_client_factory=signed)
async with Client(transport) as client:
    answer = await client.call_tool("predict", {"text": PROMPT})
reply = answer.content[0].text
""",
}
ASKED = f"""
PROMPT = "A red dog"
MESSAGES = [{{"role": "user", "content": PROMPT}}]
MODEL = "{MODEL}"
TOOLS = "{MCP}"
"""


CAUGHT = """
except BaseException as caught:
    error = caught
    raise
"""


def indented(program):
    return program.replace("\n", "\n    ")


def written_down(program):
    for name, literally in WRITTEN_DOWN.items():
        program = program.replace(name, literally)
    return program


def made(shell, run, program):
    """What a program adds to the names of a shell; the key is in none of it."""
    before = set(shell.names)
    run(program)
    return {name: shell.names[name] for name in set(shell.names) - before}


def keyless(key, *things):
    assert [type(thing) for thing in things if held(key, thing)] == []


@pytest.mark.parametrize("client", EXPORTED)
def test_it_works_with_what_a_session_exports(signed_in, upstream, client):
    broker = signed_in.names["clarifai_session"].broker
    names = made(signed_in, signed_in.run, ASKED + EXPORTED[client])
    assert names["reply"] == REPLY
    assert broker.carried > 0
    keyless(upstream[1].pat, *names.values())


# Clarifai's documentation has MCP by FastMCP alone.
@pytest.mark.parametrize("client", [name for name in EXPORTED if name != "mcp"])
def test_it_works_as_its_documentation_has_it(signed_in, upstream, client):
    program = ASKED + written_down(EXPORTED[client])
    assert "YOUR_PAT_HERE" in program
    assert "os.environ" not in program
    names = made(signed_in, signed_in.run, "%%clarifai_sample\n" + program)
    assert names["reply"] == REPLY
    keyless(upstream[1].pat, *names.values())


@pytest.mark.parametrize("client", OF_THE_SESSION)
def test_it_works_with_what_a_session_makes(signed_in, upstream, client):
    broker = signed_in.names["clarifai_session"].broker
    names = made(signed_in, signed_in.run, ASKED + OF_THE_SESSION[client])
    assert names["reply"] == REPLY
    assert broker.carried == 0
    keyless(upstream[1].pat, *names.values())


def test_the_program_on_the_first_screen_of_the_readme_runs(signed_in):
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    [program] = re.findall(r"```py\n(.*?)```", readme, re.DOTALL)
    assert signed_in.run(program).startswith("This is the sandbox, not a language model.")


@pytest.mark.parametrize("client", EXPORTED)
def test_a_refusal_says_why_and_holds_no_key(signed_in, upstream, client):
    program = f"{ASKED}error = None\ntry:{indented(EXPORTED[client])}{CAUGHT}"
    told = signed_in.fail(program.replace("gpt-oss-120b", "gpt-0"))
    assert "gpt-0" in told
    error = signed_in.names["error"]
    while error:
        keyless(upstream[1].pat, error)
        error = error.__cause__ or error.__context__
