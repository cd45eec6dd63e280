import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Clarifai in marimo")


@app.cell
def _():
    import marimo as mo
    from clarifai_grpc.grpc.api import resources_pb2, service_pb2

    import clarifai_magic

    return clarifai_magic, mo, resources_pb2, service_pb2


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Clarifai in marimo

    - **Needs:** `pip install marimo`.
    - **Takes:** about 5 seconds.
    - **Account:** none, it runs on the sandbox until you sign in.

    Sign in below: the cells that use the session run again by themselves, and once more when you sign out.
    Until then this notebook uses a **sandbox**, a small server in this process that speaks Clarifai's real
    protocol and makes its predictions up, so that there is something to see without an account.
    """)
    return


@app.cell
def _(clarifai_magic, mo):
    # As a script the notebook has nobody to fill in a form.
    form = None if mo.app_meta().mode == "script" else clarifai_magic.login_form()
    form
    return (form,)


@app.cell
def _(clarifai_magic, form):
    session = None if form is None else form.session
    if session is None:
        session = clarifai_magic.connect(clarifai_magic.find_credentials("sandbox"))
    return (session,)


@app.cell(hide_code=True)
def _(mo, session):
    mo.md(f"""
    ## Who you are

    **{session.identity.owner}**, by a {session.identity.kind} from {session.source}; app `{session.identity.app_id or "none"}`.
    """)
    return


@app.cell
def _(mo):
    text = mo.ui.text_area(
        value="A cat and another cat watch a dog, and a cat beside the sea.",
        label="What do you see?",
        full_width=True,
    )
    text
    return (text,)


@app.cell
def _(resources_pb2, service_pb2, session, text):
    response = session.stub.PostModelOutputs(
        service_pb2.PostModelOutputsRequest(
            user_app_id=resources_pb2.UserAppIDSet(user_id="clarifai", app_id="main"),
            model_id="general-image-recognition",
            inputs=[resources_pb2.Input(data={"text": {"raw": text.value}})],
        )
    )
    concepts = response.outputs[0].data.concepts
    return (concepts,)


@app.cell(hide_code=True)
def _(concepts, mo):
    mo.md(
        "## What the model sees\n\n| concept | how sure |\n|---|---|\n"
        + "\n".join(
            f"| {each.name} | `{'█' * round(each.value * 24):24}` {each.value:.0%} |"
            for each in concepts
        )
    )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## The key stays out

    It went from the form to this notebook's kernel and nowhere else. Print it, and it is masked: on the page,
    in `marimo export` and in `__marimo__`.
    """)
    return


@app.cell
def _(session):
    print("The header of each call:", session.headers)
    return


if __name__ == "__main__":
    app.run()
