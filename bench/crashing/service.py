"""The service that dies, again and again: `python -m bench.crashing.service`, its Plan as JSON on standard input.

Everything is imported once. Each life of the service is a child of this process, with a server, connections and a port
of its own; "start", "arm STEP COUNT" and "end" on standard input are what the bench says, a line for each of them on
standard output is what it hears. With Actix a life is another program, which is told on its own standard input when to
die.
"""

import json
import os
import resource
import signal
import socket
import sys
from dataclasses import dataclass
from threading import Thread
from typing import NoReturn

import uvicorn
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from bench.crashing.apps import SECRET_OCTETS, HalvedASGI, HalvedWSGI, Plan, fastapi_app, flask_app, fuse, lay_fuse
from bench.crashing.steps import Step
from bench.crashing.twins import TWINS

THREADS = 16


class Gunicorn(BaseApplication):  # type: ignore[misc]
    """One worker with threads, on a socket that listens already."""

    def __init__(self, plan: Plan, listener: socket.socket) -> None:
        self._plan = plan
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        """What gunicorn would be told on the command line."""
        told = {
            "bind": f"fd://{self._listener.fileno()}",
            "worker_class": "gthread",
            "threads": THREADS,
            "loglevel": "critical",
        }
        for name, value in {**told, "control_socket_disable": True, "child_exit": die_too}.items():
            self.cfg.set(name, value)

    def load(self) -> object:
        """In the worker."""
        return HalvedWSGI(flask_app(self._plan))


def die_too(_arbiter: object, _worker: object) -> None:
    """Gunicorn would start another worker, and a service that died between two requests would look alive."""
    os.killpg(0, signal.SIGKILL)


def live(plan: Plan) -> None:
    """Serve until killed. Each server listens when it does in production: gunicorn before it has the application."""
    lay_fuse()
    if plan.twin in TWINS:
        TWINS[plan.twin]()
    if plan.adapter == "flask":
        Gunicorn(plan, listen()).run()
    else:
        app = HalvedASGI(fastapi_app(plan))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))
        server.run([listen()])


def listen() -> socket.socket:
    """On a port that the kernel chose; the bench is told."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    os.write(1, b"listening %d\n" % listener.getsockname()[1])
    return listener


@dataclass(frozen=True, slots=True)
class Life:
    """One life of the service.

    Args:
        group: its processes.
        hold: ends it when it is closed, also by the end of this process.
        is_told: whether it is another program, and listens to what is written there.
    """

    group: int
    hold: int
    is_told: bool

    def arm(self, line: str) -> None:
        """It dies at a step: "arm STEP COUNT"."""
        if self.is_told:
            os.write(self.hold, line.encode())
        else:
            _, step, count = line.split()
            fuse.arm(Step[step], int(count))

    def end(self) -> None:
        """Kill what is left of it."""
        os.killpg(self.group, signal.SIGKILL)
        os.waitpid(self.group, 0)
        os.close(self.hold)


def start(plan: Plan) -> Life:
    """Begin a life."""
    held, hold = os.pipe()
    child = os.fork()
    if child:
        os.close(held)
        return Life(child, hold, is_told=bool(plan.program))
    try:
        os.setsid()
        os.close(hold)
        if plan.program:
            become(plan, held)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        Thread(target=end_with_parent, args=(held,), daemon=True).start()
        live(plan)
    finally:
        os._exit(1)


def become(plan: Plan, held: int) -> NoReturn:
    """Be that program from here on, with the pipe as its standard input."""
    os.dup2(held, 0)
    # It dies by SIGABRT, and nobody wants to look at what is left.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    told = {"CRASHING_DATABASE": plan.database, "CRASHING_SECRET": SECRET_OCTETS.decode()}
    os.execve(plan.program, [plan.program, plan.twin], os.environ | told)


def end_with_parent(held: int) -> None:
    """Wait for the end of a pipe that only the parent could write to."""
    os.read(held, 1)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    plan = Plan(**json.loads(sys.stdin.readline()))
    life: Life | None = None
    for line in sys.stdin:
        if line == "start\n":
            fuse.disarm()
            life = start(plan)
            continue
        assert life is not None, "it is started first"
        if line.startswith("arm "):
            life.arm(line)
        else:
            life.end()
        os.write(1, b"done %d\n" % fuse.others)


if __name__ == "__main__":
    main()
