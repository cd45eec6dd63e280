"""The extension in a real kernel, driven as unattended runs are."""

from __future__ import annotations

import socket

import nbformat
import pytest
from nbclient import NotebookClient
from support import CANARY

LOAD = "%load_ext clarifai_magic"
FRAGMENTS = [
    # As the documentation writes them for an initialised client.
    """
post_inputs_response = stub.PostInputs(
    service_pb2.PostInputsRequest(
        user_app_id=userDataObject,
        inputs=[
            resources_pb2.Input(
                data=resources_pb2.Data(
                    image=resources_pb2.Image(url="https://samples.clarifai.com/puppy.jpeg"),
                    concepts=[resources_pb2.Concept(id="puppy", value=1)],
                )
            )
        ],
    ),
    metadata=metadata,
)
if post_inputs_response.status.code != status_code_pb2.SUCCESS:
    raise Exception("Post inputs failed: " + post_inputs_response.status.description)
print(post_inputs_response.inputs[-1].data.concepts[0].id)
""",
    """
import uuid

input_metadata = Struct()
input_metadata.update({"id": "id001"})
response = stub.PostConcepts(
    service_pb2.PostConceptsRequest(
        user_app_id=userDataObject,
        concepts=[resources_pb2.Concept(id=uuid.uuid4().hex, name="Charlie")],
    ),
    metadata=metadata,
)
print(status_code_pb2.StatusCode.Name(response.status.code), response.concepts[0].name)
""",
    """
# No user_app_id, as two in three fragments have it.
for model in stub.ListModels(service_pb2.ListModelsRequest(), metadata=metadata).models:
    print(model.app_id)
""",
]


def run(
    *cells: str, allow_errors: bool = False, kernel_arguments: list[str] | None = None
) -> list[str]:
    """The text of each cell's outputs in a fresh kernel."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        allow_errors=allow_errors,
        extra_arguments=kernel_arguments or [],
    )
    client.execute()
    return [
        "".join(
            output.get("text", "") or "\n".join(output.get("traceback", [])) or str(output.data)
            for output in cell.outputs
        )
        for cell in notebook.cells
    ]


def test_with_the_key_in_the_environment_documented_fragments_run(environment, sandbox):
    environment(PAT=sandbox.keys.pat, USER_ID="alice", APP_ID="main")
    signed_in, *results = run(f"{LOAD}\n%clarifai_auth", *FRAGMENTS)
    assert signed_in.startswith("Signed in as alice · PAT from CLARIFAI_PAT")
    assert results == ["puppy\n", "SUCCESS Charlie\n", "main\n"]


def test_an_api_key_runs_the_same_fragments(environment, sandbox):
    environment(API_KEY=sandbox.keys.api_key)
    signed_in, *results = run(f"{LOAD}\n%clarifai_auth", *FRAGMENTS[::2])
    assert "API key from CLARIFAI_API_KEY" in signed_in
    assert results == ["puppy\n", "main\n"]


def test_unattended_without_a_key_is_one_short_error_that_fails_the_run():
    (_, error, placeless) = run(LOAD, "%clarifai_auth", "stub", allow_errors=True)
    assert "NoCredentialsError: No Clarifai key was found" in error
    assert "CLARIFAI_PAT" in error
    assert len(error.splitlines()) <= 6
    assert "NameError" in placeless


@pytest.mark.parametrize("xmode", ["Plain", "Context", "Verbose"])
def test_no_error_in_a_kernel_shows_the_key_or_a_traceback(environment, xmode):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
        environment(PAT=CANARY, API_BASE=dead)
        *_, error, from_python = run(
            f"%xmode {xmode}\n{LOAD}",
            "%clarifai_auth",
            "import clarifai_magic; clarifai_magic.connect()",
            allow_errors=True,
        )
    for text in (error, from_python):
        assert f"Nothing answers at {dead}." in text
        assert len(text.splitlines()) <= 6
        assert CANARY not in text
