"""Writes the tables of the guard's pages from what tests, code and benches run on, or says that they are out of date.

python -m tools.guard_tables [--check]
"""

import json
import logging
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tocsin.guard._log_events import EVENTS, Ending

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "bench" / "results" / "peers.json"
COSTS = ROOT / "bench" / "results" / "costs.json"
_LAYERS_NAMED = 4
_WRITTEN_BY = "written by tools/guard_tables.py"


def pages() -> dict[Path, dict[str, str]]:
    """The tables of each page, by the names of their markers."""
    docs = ROOT / "docs"
    # In this order: whoever imports from tests first makes `tests` ours.
    return {
        docs / "guard.md": _guard(),
        docs / "guard-peers.md": {"peers": _peers()},
        docs / "guard-stores.md": {"losses": _losses()},
        docs / "guard-costs.md": _costs(),
    }


def written(page: Path, tables: Mapping[str, str]) -> str:
    """A page with every marked table replaced by the one that is true.

    Raises:
        ValueError: a table has no place in the page.
    """
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name}: {_WRITTEN_BY} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _old, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{page.name} has no place for {name}; wanted the lines {begin} and {end}")
        text = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    return text


def _guard() -> dict[str, str]:
    # Several packages on PyPI install a `tests` of their own, which would be found before this folder without __init__.
    sys.modules["tests"] = ModuleType("tests")
    sys.modules["tests"].__path__ = [str(ROOT / "tests")]
    from tests.guard.answer_table import SITUATIONS  # noqa: PLC0415  only now is it ours

    return {
        "answers": _table(
            ("situation", "answer", "written"), [(one.name, one.answer, one.written.value) for one in SITUATIONS]
        ),
        "events": _table(("event", "fields beside `event`", "what it says"), _events()),
        "outcomes": _table(
            ("outcome", "level", "answer", "what happened"),
            [(f"`{one.word}`", logging.getLevelName(one.level), one.status, one.meaning) for one in Ending],
        ),
    }


def _losses() -> str:
    """A line for each thing that can happen, a column a store."""
    from tests.guard.store_table import DESKS, ROWS  # noqa: PLC0415  only now is it ours

    head = ["what happens", *(desk.name for desk in DESKS)]
    return _table(head, [[row.name, *map(_effects, row.cells)] for row in ROWS])


def _effects(cell: tuple[int, str] | None) -> str:
    if cell is None:
        return "-"
    count, told = cell
    return f"1 effect, {told}" if count == 1 else f"**{count} effects**, {told}"


def _peers() -> str:
    """A line a case, a column a library; a cell says what went wrong."""
    document = json.loads(PEERS.read_text(encoding="utf-8"))
    results, versions = document["results"], document["versions"]
    cases = dict.fromkeys(case for result in results.values() for case in result)
    head = ["case", *(f"{name} {versions[name]}" for name in results)]
    rows = [[case, *(_cell(result.get(case)) for result in results.values())] for case in cases]
    counted = ["**right**", *(_count(result.values()) for result in results.values())]
    return _table(head, [*rows, counted])


def _costs() -> dict[str, str]:
    """What was measured, how, and why the slow ones are slow."""
    document = json.loads(COSTS.read_text(encoding="utf-8"))
    rows, host = document["rows"], document["host"]
    others = max(row[form]["others"] for row in rows.values() for form in ("bare", "guarded"))
    return {
        "costs-how": (
            f"{document['clients']} clients, {document['rounds']} rounds of {document['seconds']} s for each form, on "
            f"{host['cpus']} processors ({host['measured_at'][:10]}, Python {host['python']}). Programs of others took "
            f"at most {others:.0%} of the\nprocessors meanwhile. {len(rows) - len(document['below'])} of {len(rows)} "
            f"reach {document['must']:g} of their bare form."
        ),
        "costs": _table(
            ("store", "adapter", "bare /s", "guarded /s", "guarded / bare", "CPU, us", "p99, ms"),
            [_cost(row) for row in rows.values()],
        ),
        "costs-why": _table(
            ("below", "round trips", "statements", "CPU of the service, us", "of the database, us", "what grew, us"),
            [(name, *_growth(found)) for name, found in document["profiles"].items()],
        ),
    }


def _cost(row: Mapping[str, Any]) -> tuple[str, ...]:
    spread, forms = row["ratio"], (row["bare"], row["guarded"])
    return (
        row["store"],
        row["adapter"],
        *(f"{form['good_per_s']:.0f}" for form in forms),
        f"{spread['median']:.2f} [{spread['low']:.2f} .. {spread['high']:.2f}]",
        " -> ".join(f"{form['service_us'] + form['database_us']:.0f}" for form in forms),
        " -> ".join(f"{form['p99_ms']:.0f}" for form in forms),
    )


def _growth(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What a guarded request has more of than a bare one."""
    bare, guarded = found["bare"], found["guarded"]
    for figure, digits in (("round_trips", 1), ("statements", 1), ("service_us", 0), ("database_us", 0)):
        yield f"{bare[figure]:.{digits}f} -> {guarded[figure]:.{digits}f}"
    grown = {layer: spent - bare["layers_us"].get(layer, 0) for layer, spent in guarded["layers_us"].items()}
    most = sorted(grown, key=lambda layer: -grown[layer])[:_LAYERS_NAMED]
    yield ", ".join(f"{layer} {grown[layer]:.0f}" for layer in most if grown[layer] > 0) or "not seen"


def _cell(outcome: Mapping[str, Any] | None) -> str:
    if outcome is None:
        return "-"
    return "ok" if outcome["is_right"] else outcome["words"]


def _count(outcomes: Collection[Mapping[str, Any]]) -> str:
    return f"**{sum(outcome['is_right'] for outcome in outcomes)} of {len(outcomes)}**"


def _events() -> Iterator[tuple[str, str, str]]:
    for event, (fields, meaning) in EVENTS.items():
        yield f"`{event.value}`", ", ".join(f"`{field}`" for field in fields), meaning


def _table(head: Sequence[str], rows: Sequence[Sequence[str]] | Iterator[Sequence[str]]) -> str:
    return "\n".join(_row(cells) for cells in (head, ["---"] * len(head), *rows))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def main() -> int:
    stale = 0
    for page, tables in pages().items():
        new = written(page, tables)
        if new == page.read_text(encoding="utf-8"):
            continue
        if "--check" in sys.argv[1:]:
            print(f"{page.name} is out of date; wanted: python -m tools.guard_tables")
            stale = 1
        else:
            page.write_text(new, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
