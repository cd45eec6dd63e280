"""A real kernel for tests: cells in, texts out."""

from __future__ import annotations

import uuid

import nbformat
from jupyter_client.session import Session
from nbclient import NotebookClient

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


class PageSession(Session):
    """What a notebook's page does with a kernel: it numbers no requests."""

    @property
    def msg_id(self) -> str:
        return str(uuid.uuid4())


def run(
    *cells: str, allow_errors: bool = False, kernel_arguments: list[str] | None = None
) -> list[str]:
    """The text of each cell's outputs in a fresh kernel."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook,
        timeout=180,
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
