"""Starts what bursts are sent at, and the processes that send them."""

import hashlib
import hmac
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab._launch import reserve_port

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"
PEERS = BUILD / "bench-peers"
# The bench's own: nothing of it ships. Two of them are under the GPL or without a release for years.
PEER_PACKAGES = ("httpx[http2]", "aiohttp", "requests", "h2spacex", "webracecondition")
SECRET = b"bench"
UP_WITHIN_S = 15.0


@dataclass(frozen=True)
class Target:
    """A service that is up."""

    origin: str
    port: int
    ca: str = ""
    protocol: str = "auto"

    def told(self, burst: str) -> dict[str, list[int] | int]:
        """What it says of a burst."""
        connection = (
            http.client.HTTPSConnection("localhost", self.port, context=ssl.create_default_context(cafile=self.ca))
            if self.ca
            else http.client.HTTPConnection("127.0.0.1", self.port)
        )
        connection.request("GET", f"/burst?id={burst}")
        found: dict[str, list[int] | int] = json.loads(connection.getresponse().read())
        connection.close()
        return found


def peers() -> Path:
    """The Python that has the peers; made once, in build/."""
    python = PEERS / "bin" / "python"
    if not (PEERS / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True)
        (PEERS / ".ready").touch()
    return python


def certificates(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that is its own authority, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    subprocess.run([*words, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@contextmanager
def target(kind: str, folder: Path) -> Iterator[Target]:
    """Start a service: sink, gthread-1, gthread-2, uvicorn, nginx (before gthread-1); hypercorn, go (HTTP/2 over TLS),
    hypercorn-h3 (HTTP/3 on the same port of UDP).

    A name that ends in "+jitter" is the same behind a relay that adds 40 ms, with 3 ms of normal jitter.
    """
    with ExitStack() as closing:
        port = reserve_port()
        kind, _, relayed = kind.partition("+")
        if relayed:
            inner = closing.enter_context(target(kind, folder))
            words = [sys.executable, "-m", "bench.targets.relay", str(port), str(inner.port)]
            closing.enter_context(_process(words, port))
            yield Target(inner.origin.replace(str(inner.port), str(port)), port, inner.ca)
            return
        if kind == "nginx":
            inner = closing.enter_context(target("gthread-1", folder))
            closing.enter_context(_process(_nginx(folder, port, inner.port), port))
            yield Target(f"http://127.0.0.1:{port}", port)
            return
        secure = kind in {"hypercorn", "hypercorn-h3", "go"}
        certificate, key = certificates(folder) if secure else (Path(), Path())
        environment = os.environ | {"BENCH_DATABASE": str(folder / f"{kind}.db")}
        closing.enter_context(_process(_command(kind, port, certificate, key), port, environment))
        origin = f"https://localhost:{port}" if secure else f"http://127.0.0.1:{port}"
        protocol = "h3" if kind == "hypercorn-h3" else "auto"
        yield Target(origin, port, str(certificate) if secure else "", protocol)


def missing(kind: str) -> str:
    """What the service needs and this machine has not, with what installs it; "" if nothing."""
    needs = {"go": ("go", "golang-go"), "nginx": ("nginx", "nginx-light")}.get(kind)
    if needs is None or shutil.which(needs[0]) is not None:
        return ""
    return f"it needs {needs[0]}: apt-get install --no-install-recommends {needs[1]}"


def _command(kind: str, port: int, certificate: Path, key: Path) -> list[str]:
    python = [sys.executable, "-m"]
    if kind.startswith("gthread"):
        processes = kind.rpartition("-")[2]
        words = ["gunicorn", "-k", "gthread", "--threads", "16", "--workers", processes, "--log-level", "error"]
        return [*python, *words, "--backlog", "512", "-b", f"127.0.0.1:{port}", "bench.targets.threaded:app"]
    if kind == "sink":
        return [*python, "bench.targets.sink", str(port)]
    if kind == "uvicorn":
        return [*python, "uvicorn", "bench.targets.looped:app", "--port", str(port), "--log-level", "error"]
    if kind.startswith("hypercorn"):
        words = ["hypercorn", "--certfile", str(certificate), "--keyfile", str(key), "-b", f"127.0.0.1:{port}"]
        words += ["--quic-bind", f"127.0.0.1:{port}"] if kind == "hypercorn-h3" else []
        return [*python, *words, "--log-level", "error", "bench.targets.looped:app"]
    program = BUILD / "bench-go"
    subprocess.run(["go", "build", "-o", program, HERE / "targets" / "main.go"], check=True)
    return [str(program), str(port), str(certificate), str(key)]


def _nginx(folder: Path, port: int, upstream: int) -> list[str]:
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log /dev/null; events {{}}\n"
        f"http {{ access_log off; upstream app {{ server 127.0.0.1:{upstream}; keepalive 32; }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; proxy_http_version 1.1;\n"
        'proxy_set_header Connection ""; } } }\n'
    )
    return ["nginx", "-p", str(folder), "-c", str(configuration)]


@contextmanager
def _process(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[None]:
    root = HERE.parent
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=root, env=environment, stdout=quiet, stderr=quiet) as process:
        try:
            _wait(process, port)
            yield
        finally:
            process.terminate()


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + UP_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port} after {UP_WITHIN_S} s")


class Sender:
    """A process that sends bursts by one method."""

    def __init__(self, method: str, python: Path) -> None:
        command = [str(python), str(HERE / "_senders.py"), method]
        self.method = method
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def send(self, target: Target, burst: str, n: int) -> dict[str, str]:
        """Send a burst of an id, and wait for its answers."""
        body = json.dumps({"id": burst, "pad": "!"})
        signature = hmac.new(SECRET, body.encode(), hashlib.sha256).hexdigest()
        asked = {"url": f"{target.origin}/order", "n": n, "body": body, "signature": signature, "ca": target.ca}
        asked["protocol"] = target.protocol
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        told: dict[str, str] = json.loads(self._process.stdout.readline())
        return told

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()
