"""JupyterHub for a class on one machine: `make hub CLASS=../clase`. What it promises: docs/hub.md.

Where systemd runs and the hub is root, each student's server is a unit of its own with a user of its own.
Elsewhere all of them are the same user's processes: good among people who trust each other, and no further.
"""

import math
import os
import resource
import shutil
import sys
from pathlib import Path

from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets import Integer

c = get_config()  # noqa: F821 - JupyterHub's

HERE = Path(__file__).resolve().parent
CLASS = Path.cwd()  # the lists of names, and without systemd the students' folders
STATE = CLASS / "hub"  # the database, the passwords' hashes, the secret of the cookies


def names(file):
    """Return the names in a file of the class, one a line; none where it is not there."""
    return set((CLASS / file).read_text("utf-8").split()) if (CLASS / file).exists() else set()


# Who may come in. The first password that somebody gives is theirs from then on.
students, teachers = names("estudiantes.txt"), names("profesores.txt")
if not students | teachers:
    sys.exit(f"Escribe en {CLASS / 'estudiantes.txt'} un nombre por línea: entran ellos y nadie más.")
STATE.mkdir(mode=0o700, exist_ok=True)
c.JupyterHub.db_url = f"sqlite:///{STATE / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")
c.JupyterHub.authenticator_class = "firstuseauthenticator.FirstUseAuthenticator"
c.FirstUseAuthenticator.dbm_path = str(STATE / "passwords.dbm")
c.Authenticator.allowed_users = students | teachers
c.Authenticator.admin_users = teachers
c.Authenticator.username_pattern = "[a-z][a-z0-9_-]*"  # it becomes the name of a folder and of a unit

# From this machine only: HTTPS, which passwords need, is the business of a server in front (docs/hub.md).
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
# The proxy that `make hub` installed, or the system's.
own_proxy = Path(sys.prefix, "node_modules", ".bin", "configurable-http-proxy")
c.ConfigurableHTTPProxy.command = [str(own_proxy) if own_proxy.exists() else "configurable-http-proxy"]

# A student's server: this Python, with the course's own settings and a copy of the lessons in their folder.
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.environment = {"JUPYTER_CONFIG_PATH": str(HERE), "OMP_NUM_THREADS": "1"}
c.Spawner.mem_limit = "1G"  # a lesson takes a quarter
c.Spawner.cpu_limit = 1.0
c.Spawner.start_timeout = c.Spawner.http_timeout = 180  # seconds: a whole class comes in at once


class LimitedSpawner(SimpleLocalProcessSpawner):
    """A server as a process of the hub's own user, within what a process can be held to.

    Each process may take `mem_limit` bytes for data, more is a MemoryError in its cell. All of them together
    run on as many processors as `cpu_limit` says. Both are inherited by the kernels and what they start.
    """

    first_port = Integer(10_000, config=True, help="The servers' ports, by the user's number.")

    async def start(self):
        """Start the server on a port of its own: a drawn one may be taken before the server binds it."""
        self.port = self.first_port + self.user.id
        return await super().start()

    def make_preexec_fn(self, name):
        """Return what the new process does before it becomes the server."""
        enter_home = super().make_preexec_fn(name)
        limit = int(self.mem_limit)
        processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
        mine = (
            [processors[(self.user.id + n) % len(processors)] for n in range(math.ceil(self.cpu_limit))]
            if processors
            else []
        )

        def preexec():
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            if mine:
                os.sched_setaffinity(0, mine)
            enter_home()

        return preexec


def refuse_names_of_the_system(spawner):
    """Raise RuntimeError where the student's folder would be one of the system's: systemd hands it over."""
    folder = Path("/var/lib", spawner.user.name)
    if folder.exists() and folder.resolve() != Path("/var/lib/private", spawner.user.name):
        raise RuntimeError(f"{folder} no es de {spawner.user.name}: dale otro nombre en estudiantes.txt")


if Path("/run/systemd/system").exists() and os.geteuid() == 0 and shutil.which("systemd-run"):
    c.JupyterHub.spawner_class = "systemdspawner.SystemdSpawner"
    c.SystemdSpawner.dynamic_users = True  # nobody has to be made by hand; the folder is /var/lib/<name>
    c.SystemdSpawner.isolate_tmp = c.SystemdSpawner.isolate_devices = True
    c.SystemdSpawner.pre_spawn_hook = refuse_names_of_the_system
else:
    c.JupyterHub.spawner_class = LimitedSpawner
    c.LimitedSpawner.home_dir_template = str(CLASS / "alumnos" / "{username}")
    if os.geteuid() == 0:
        print("Aviso: sin systemd y como root, cada estudiante es root aquí. Solo en un contenedor.")
        c.Spawner.args = ["--allow-root"]

# A server that nobody has used for an hour is stopped; what was saved stays.
c.JupyterHub.services = [
    {"name": "idle-culler", "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"]}
]
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    }
]
