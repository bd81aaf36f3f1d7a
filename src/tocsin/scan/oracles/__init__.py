"""How many effects happened? One file an oracle; a plan's [[state]] picks one by its keys.

Rule: an oracle reads and changes nothing. What it cannot read is CannotTell, and never a number.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from tocsin.scan._plan import Command, Lines, Query, Sink, State
from tocsin.scan.oracles.answers import AnswerClasses
from tocsin.scan.oracles.command import open_command
from tocsin.scan.oracles.lines import open_lines
from tocsin.scan.oracles.read_endpoint import read_endpoint
from tocsin.scan.oracles.sink import SinkReading, open_sink
from tocsin.scan.oracles.sql import open_query

Reader: TypeAlias = Callable[[State, Mapping[str, str]], Decimal]
# What opens each source: the source, the plan's folder, and what closes it again.
OPENERS: Mapping[type, Callable[[Any, Path, ExitStack], Reader]] = {
    Query: open_query,
    Command: open_command,
    Lines: open_lines,
    Sink: open_sink,
}

__all__ = ["OPENERS", "AnswerClasses", "Reader", "SinkReading", "read_endpoint"]
