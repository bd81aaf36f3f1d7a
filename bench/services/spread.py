"""Serves a frozen service from several processes of uvicorn that each listen on a socket of their own.

python -m spread MODULE --port PORT --processes COUNT

The kernel spreads connections over the sockets of a port (SO_REUSEPORT). Of the processes that share one socket, as
`uvicorn --workers` has them, one accepts nearly all connections of a load that comes at once, and the others are idle.
"""

import argparse
import importlib
import signal
import socket
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

import uvicorn


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True)
    arguments = parser.parse_args()
    new = get_context("spawn")
    loaded = new.Barrier(arguments.processes)
    processes = [
        new.Process(target=serve, args=(arguments.module, arguments.port, loaded)) for _ in range(arguments.processes)
    ]
    for process in processes:
        process.start()

    def stop(_signal: int, _frame: object) -> None:
        for process in processes:
            process.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    for process in processes:
        process.join()


def serve(module: str, port: int, loaded: Barrier) -> None:
    """One process; none of them listens before all have loaded the application."""
    app = getattr(importlib.import_module("frozen"), module)()
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    loaded.wait()
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    main()
