"""Black-box checks of a running service: bursts, readings of its state, verdicts with their bounds."""

from tocsin.scan._beside import beside, named_files
from tocsin.scan._check import Options
from tocsin.scan._compose import rehearse
from tocsin.scan._curl import tables_from_curl
from tocsin.scan._dry_run import describe
from tocsin.scan._errors import EffectsNotAccepted, PlanError, RailError, Terminated
from tocsin.scan._ownership import prove_ownership
from tocsin.scan._plan import Plan
from tocsin.scan._plan_file import plan_from_tables, plan_from_toml
from tocsin.scan._plan_target import speaking
from tocsin.scan._preview import Probed, example, fresh_variables, permissions, probe, probing_secret
from tocsin.scan._rails import addresses, authorise
from tocsin.scan._runner import run
from tocsin.scan._senders import senders
from tocsin.scan._time import quick
from tocsin.scan.checks import CHECKS

__all__ = [
    "CHECKS",
    "EffectsNotAccepted",
    "Options",
    "Plan",
    "PlanError",
    "Probed",
    "RailError",
    "Terminated",
    "addresses",
    "authorise",
    "beside",
    "describe",
    "example",
    "fresh_variables",
    "named_files",
    "permissions",
    "plan_from_tables",
    "plan_from_toml",
    "probe",
    "probing_secret",
    "prove_ownership",
    "quick",
    "rehearse",
    "run",
    "senders",
    "speaking",
    "tables_from_curl",
]
