"""JupyterHub with its proxy, and a person who enters it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

from extensions import load_only
from jupyter import PATIENCE, SETTINGS, Jupyter, await_server, end
from ports import for_kernels_of_programs, free_ports

CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub}
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.ConfigurableHTTPProxy.command = ["node", {proxy!r}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.DummyAuthenticator.allow_all = True
c.Spawner.args = ["--allow-root"]
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.environment = {environment!r}
c.Spawner.notebook_dir = {work!r}
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r}
"""


@contextmanager
def jupyterhub(root, base, npm):
    """A hub with its proxy; what alice's server has."""
    load_only(root)
    for_kernels_of_programs(root / "config")
    (root / "work").mkdir()
    port, hub, api = free_ports(3)
    running = Jupyter(f"http://127.0.0.1:{port}/user/alice", root)
    for plugin, values in SETTINGS.items():
        running.setting(plugin, values)
    environment = {
        "CLARIFAI_API_BASE": base,
        "IPYTHONDIR": str(root / "ipython"),
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_DATA_DIR": str(root / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    config = CONFIG.format(
        port=port,
        hub=hub,
        api=api,
        proxy=str(npm / "configurable-http-proxy/bin/configurable-http-proxy"),
        python=sys.executable,
        environment=environment,
        work=str(root / "work"),
        homes=str(root / "{username}"),
    )
    (root / "jupyterhub_config.py").write_text(config)
    with (
        (root / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "jupyterhub"], cwd=root, stdout=log, stderr=log
        ) as process,
    ):
        try:
            await_server(f"http://127.0.0.1:{port}/hub/health", process)
            yield running
        finally:
            end(process)


def enter(page, hub):
    """Log in to the hub, which starts the server."""
    page.set_default_timeout(PATIENCE)
    page.goto(hub.url.partition("/user")[0])
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("any")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/user/alice/lab**")
