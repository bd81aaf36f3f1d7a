"""Black-box checks of a running service: bursts, readings of its state, verdicts with their bounds."""

from tocsin.scan._compose import rehearse
from tocsin.scan._curl import tables_from_curl
from tocsin.scan._dry_run import describe
from tocsin.scan._errors import EffectsNotAccepted, PlanError, RailError
from tocsin.scan._plan import Plan
from tocsin.scan._plan_file import plan_from_tables, plan_from_toml
from tocsin.scan._rails import addresses, authorise
from tocsin.scan._runner import Options, run
from tocsin.scan.checks import CHECKS

__all__ = [
    "CHECKS",
    "EffectsNotAccepted",
    "Options",
    "Plan",
    "PlanError",
    "RailError",
    "addresses",
    "authorise",
    "describe",
    "plan_from_tables",
    "plan_from_toml",
    "rehearse",
    "run",
    "tables_from_curl",
]
