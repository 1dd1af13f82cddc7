"""One student's server on any hub; jupyterhub_config.py and values.yaml name it in JUPYTER_CONFIG_PATH."""

import os
import tempfile
from pathlib import Path

from jupyter_server_proxy.handlers import ProxyHandler

from labkit.__main__ import FIRST, SETTINGS, notebooks_folder
from labkit.course import workspace

c = get_config()  # noqa: F821 - Jupyter's

# The student's own copy of the lessons, brought up to date; what was edited stays (labkit.course.workspace).
copy = Path.home() / workspace.NAME
workspace.refresh(notebooks_folder(Path(__file__).resolve().parents[2]), copy, say=print)
c.ServerApp.root_dir = str(copy)
c.ServerApp.default_url = f"/lab/tree/{FIRST}"
c.LabApp.app_settings_dir = str(SETTINGS)

# No ports between the server and its kernels: of the five that are drawn for each kernel and bound a moment
# later, a class that comes in at once draws some twice. The folder's name is short: a socket's has 107 bytes.
if os.name == "posix":
    sockets = tempfile.TemporaryDirectory(prefix="jupyter-")
    os.environ["JUPYTER_RUNTIME_DIR"] = sockets.name
    c.KernelManager.transport = "ipc"

# jupyter-server-proxy passes every header on, the hub's cookies among them, and has no option against
# it. On a shared machine the port in a link may be another student's, who could then come in with them.
KEYS = ("jupyterhub-", "_xsrf=")
passed_on = ProxyHandler.proxy_request_headers


def without_keys(handler):
    """Return the headers for a service: all but what opens the hub's doors."""
    headers = passed_on(handler)
    cookies = [cookie.strip() for line in headers.get_list("Cookie") for cookie in line.split(";")]
    headers.pop("Authorization", None)
    headers.pop("Cookie", None)
    if kept := [cookie for cookie in cookies if not cookie.startswith(KEYS)]:
        headers["Cookie"] = "; ".join(kept)
    return headers


ProxyHandler.proxy_request_headers = without_keys
