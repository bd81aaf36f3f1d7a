"""No service at all: a socket that notes when the kernel had the last segment of each request, and answers.

`python -m bench.targets.sink PORT`. What its figures show is delivery, with no server's work in them. HTTP/1.1 only.
"""

import json
import selectors
import socket
import struct
import sys
from collections import defaultdict
from urllib.parse import parse_qs

SO_TIMESTAMPNS = 35
END = b'"!"}'


class Sink:
    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # accepted connections inherit it
        self.received: dict[socket.socket, bytes] = {}
        self.stamps: defaultdict[str, list[int]] = defaultdict(list)
        self.selector = selectors.DefaultSelector()

    def serve(self) -> None:
        self.selector.register(self.listener, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    accepted = self.listener.accept()[0]
                    self.received[accepted] = b""
                    self.selector.register(accepted, selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    self.read(key.fileobj)

    def read(self, connection: socket.socket) -> None:
        try:
            data, notes, _, _ = connection.recvmsg(65536, 64)
        except ConnectionResetError:
            data, notes = b"", []
        if not data:
            self.close(connection)
            return
        self.received[connection] += data
        request = self.received[connection]
        if request.startswith(b"GET "):
            wanted = parse_qs(request.split(b" ")[1].partition(b"?")[2].decode())["id"][0]
            answer(connection, {"effects": len(self.stamps[wanted]), "stamps": self.stamps[wanted]})
        elif request.endswith(END):
            seconds, nanoseconds = struct.unpack("@ll", notes[0][2])
            burst = json.loads(request.partition(b"\r\n\r\n")[2])["id"]
            self.stamps[burst].append(seconds * 1_000_000_000 + nanoseconds)
            answer(connection, {"status": "ok"})
        else:
            return
        self.received[connection] = b""

    def close(self, connection: socket.socket) -> None:
        del self.received[connection]
        self.selector.unregister(connection)
        connection.close()


def answer(connection: socket.socket, document: object) -> None:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


if __name__ == "__main__":
    Sink(int(sys.argv[1])).serve()
