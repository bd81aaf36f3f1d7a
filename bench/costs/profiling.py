"""Why a guarded service is slower: statements, round trips and processor time by layer, beside the bare one's."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench._wrk import Orders
from bench.costs.loading import FORMS, started
from bench.costs.places import Places
from bench.costs.rows import Row
from bench.costs.trips import Trips

_REPORT_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Profiler:
    """Looks at what a service does for one request.

    Args:
        places: that count statements.
        files: orders for two loads.
        clients: how many send at once.
        seconds: how long.
    """

    places: Places
    files: Sequence[Orders]
    clients: int
    seconds: int

    def profile(self, row: Row, measured: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
        """Both forms of a row.

        Args:
            row: which.
            measured: the processor time of each form without the profiler, `service_us` and `database_us`.

        Raises:
            LabError: a service does not start.
            TimeoutError: it does not say what it saw.
        """
        return {form: self._form(row, form, measured[form]) for form in FORMS}

    def _form(self, row: Row, form: str, measured: Mapping[str, float]) -> dict[str, Any]:
        trips, place = Trips(), self.places.place(row.place)
        with TemporaryDirectory(prefix="tocsin-costs-") as name:
            talk = Path(name)
            os.mkfifo(talk / "orders")
            # For reading too, or opening it would wait for a service that does not start.
            with (
                (talk / "orders").open("r+b", buffering=0) as orders,
                started(row, form, self.places, trips, talk) as running,
            ):
                running.load(self.files[0], self.clients, self.seconds)
                orders.write(b"begin\n")
                before = trips.count, place.statements()
                answers = max(running.load(self.files[1], self.clients, self.seconds).answers, 1)
                after = trips.count, place.statements()
                orders.write(b"end\n")
                seen = _report(talk / "report")
        trips.close()
        whole = sum(seen["layers"].values()) or 1.0
        return {
            "round_trips": round((after[0] - before[0]) / answers, 2),
            "statements": round((after[1] - before[1] + sum(seen["sqlite"].values())) / answers, 2),
            "service_us": measured["service_us"],
            "database_us": measured["database_us"],
            # Shares of the time that was measured without the profiler, which slows Python down more than C.
            "layers_us": {
                layer: round(spent / whole * measured["service_us"], 1)
                for layer, spent in sorted(seen["layers"].items(), key=lambda item: -item[1])
            },
        }


def _report(path: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _REPORT_WITHIN_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the service made no report within {_REPORT_WITHIN_S:g} s")
        time.sleep(0.01)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def printed(name: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """For people: a line for each figure and each layer, bare and guarded."""
    bare, guarded = (found[form] for form in FORMS)
    figures = ("round_trips", "statements", "service_us", "database_us")
    layers = sorted({**bare["layers_us"], **guarded["layers_us"]}, key=lambda one: -guarded["layers_us"].get(one, 0))
    return "\n".join(
        [f"{name}: for each request, bare and guarded"]
        + [f"  {figure:<24} {bare[figure]:>9.2f} {guarded[figure]:>9.2f}" for figure in figures]
        + [
            f"  {one:<24} {bare['layers_us'].get(one, 0):>9.1f} {guarded['layers_us'].get(one, 0):>9.1f} us"
            for one in layers
        ]
    )
