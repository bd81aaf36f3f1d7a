"""Records of a long bench, one JSON object a line, so that one that was interrupted goes on where it stopped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Records:
    """What was measured so far.

    Args:
        path: the file; made with its folder where it is missing.
        fresh: forget what is in it.
    """

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.unlink(missing_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._all: list[Record] = [json.loads(line) for line in lines]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._all)

    def has(self, **of: object) -> bool:
        """Whether there is a record with these values."""
        return any(all(record[name] == value for name, value in of.items()) for record in self._all)

    def add(self, record: Record) -> None:
        """Keep one; it is on the disk when this returns."""
        self._all.append(record)
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
