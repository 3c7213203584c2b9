"""A PostgreSQL server of the tests' own: a cluster in a temporary directory, reached by a socket, gone at the end.

The server refuses to run as root, so that root lends it to the user `postgres` of the Debian package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

OWNER = "postgres"


@dataclass
class Server:
    """A running server.

    Attributes:
        directory: the cluster and its socket.

    """

    directory: Path

    def __post_init__(self) -> None:
        self._names = count(1)

    def _run(self, program: str, *words: str) -> None:
        binary = next(iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)), Path(program))
        as_owner = ["runuser", "-u", OWNER, "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_owner, str(binary), *words],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd="/",
            timeout=60,
        )

    @property
    def _cluster(self) -> str:
        return str(self.directory / "cluster")

    def make(self) -> None:
        """Make the cluster; what it writes need not outlive the machine."""
        self._run("initdb", "-D", self._cluster, "-U", OWNER, "--auth=trust", "--no-sync", "--locale=C.UTF-8")
        settings = f"listen_addresses = ''\nunix_socket_directories = '{self.directory}'\nfsync = off\n"
        with (self.directory / "cluster" / "postgresql.conf").open("a") as file:
            file.write(settings)

    def start(self) -> None:
        """Start it; returns when it answers."""
        self._run("pg_ctl", "start", "-w", "-D", self._cluster, "-l", str(self.directory / "log"))

    def stop(self) -> None:
        """Stop it at once, whatever is connected."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", self._cluster)

    def database(self) -> str:
        """A new database's URL."""
        name = f"test{next(self._names)}"
        self._run("createdb", "-h", str(self.directory), "-U", OWNER, name)
        return f"postgresql://{OWNER}@/{name}?host={self.directory}"


@contextmanager
def running_server() -> Iterator[Server]:
    """A server while the context lasts."""
    directory = Path(tempfile.mkdtemp(prefix="insitu-postgres-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(directory, OWNER, OWNER)
    server = Server(directory)
    try:
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
