"""What a service of this bench was started as: which orders it takes, and whether under the guard."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.costs import inspected
from tocsin.guard import Guard, json_pointer
from tocsin.signing import KeyRing, Secret, preset

if talk := os.environ["COSTS_INSPECTED"]:
    inspected.begin(Path(talk))

ADAPTER = os.environ["COSTS_ADAPTER"]
IS_GUARDED = os.environ["COSTS_FORM"] == "guarded"
KEY = json_pointer("/order_id")
ANSWER = {"status": "processed"}
_module, _, _name = os.environ["COSTS_ORDERS"].partition(":")
# Any: each kind of orders has a store and a transaction of its own type.
orders: Any = getattr(import_module(f"bench.costs.orders.{_module}"), _name)(os.environ["COSTS_URL"])
# Bare services wait as long for a lock. shared_secret: Django's three views are in one file, and one of them is served.
guard: Guard[Any] = Guard(
    preset("hex-sha256-body"), KeyRing.of(Secret.from_env("LAB_SECRET")), orders.store, wait_s=20, shared_secret=True
)
