"""One finding of a former run, asked again."""

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tocsin.cli._errors import UsageError
from tocsin.cli._run_archive import ArchivedRun, Origin, RunArchive
from tocsin.cli._streams import say
from tocsin.findings import Finding, Verdict
from tocsin.report.summary import read_summary, violated_variants
from tocsin.toml import TomlError, parse_toml

# What a rerun takes from the run, and so may not be given beside it.
_TAKEN = ("plan", "curl", "only", "seed", "base_url", "protocol")


@dataclass(frozen=True, slots=True)
class Rerun:
    """What is asked again. `changed` says how the plan differs from the run's, or is ""."""

    finding: str
    check: str
    former: ArchivedRun
    changed: str


def prepare(args: argparse.Namespace, archive: RunArchive) -> Rerun:
    """Put plan, check and seed of the run in which a finding was last violated into `args`.

    Permissions are not taken over: whoever runs it again says again what may be reached and changed.

    Raises:
        UsageError: no such finding, its plan is gone, or `args` name what the run decides.
    """
    for name in _TAKEN:
        if getattr(args, name) is not None:
            option = "PLAN" if name == "plan" else f"--{name.replace('_', '-')}"
            raise UsageError(f"--rerun takes {option} from the run: wanted only one of the two")
    former, check = archive.last_violation(args.rerun)
    origin = former.origin
    if origin.plan.startswith("-"):
        raise UsageError(f"run {former.id} was made with {origin.plan}, and the request is not kept: give it again")
    plan = Path(origin.folder, origin.plan)
    try:
        octets = plan.read_bytes()
    except OSError as error:
        raise UsageError(f"run {former.id}: its plan {plan}: {error.strerror}") from None
    args.plan = origin.plan if Path.cwd() == Path(origin.folder) else os.path.relpath(plan)
    args.only, args.seed = [check], former.seed
    args.base_url, args.protocol = origin.base_url, origin.protocol
    changed = "" if plan_hash(octets) == origin.plan_sha256 else f"{args.plan} has changed since"
    return Rerun(args.rerun, check, former, changed)


def announce(rerun: Rerun) -> None:
    """Say what is repeated, and whether it can be the same."""
    former = rerun.former
    say(f"rerun of {rerun.check}, violated in run {former.id} of {former.started_at}")
    if rerun.changed:
        say(f"note: {rerun.changed} that run: what follows is about another plan")


def outcome(rerun: Rerun, findings: Sequence[Finding]) -> str:
    """What became of it, in a line: by variant where the check has several."""
    before = read_summary(rerun.former.report).checks[rerun.check]
    now = next((finding for finding in findings if finding.check == rerun.check), None)
    if now is None:
        return "Rerun: came to no conclusion this time."
    if now.verdict is not Verdict.VIOLATED:
        return f"Rerun: {now.verdict} this time."
    again = violated_variants(now.evidence.facts)
    missing = sorted(before.variants - again)
    return f"Rerun: violated again{', but not ' + ', '.join(missing) if missing else ''}."


def origin_of(args: argparse.Namespace) -> Origin:
    """Where a scan with these arguments comes from."""
    if args.plan is None:
        return Origin(str(Path.cwd()), "--curl", "", args.base_url, args.protocol)
    octets = Path(args.plan).read_bytes()
    return Origin(str(Path.cwd()), args.plan, plan_hash(octets), args.base_url, args.protocol)


def plan_hash(octets: bytes) -> str:
    """SHA-256 of what a plan means: without comments and layout, and without a secret that stands in it.

    With the secret, whoever reads the history could try guesses at it.
    """
    try:
        tables = parse_toml(octets.decode())
    except (UnicodeDecodeError, TomlError):
        return ""
    return hashlib.sha256(json.dumps(_public(tables), sort_keys=True, default=str).encode()).hexdigest()


def _public(value: Any) -> Any:  # noqa: ANN401  whatever TOML holds
    if isinstance(value, dict):
        return {
            name: "" if name == "secret" and _is_literal(inner) else _public(inner) for name, inner in value.items()
        }
    return [_public(inner) for inner in value] if isinstance(value, list) else value


def _is_literal(secret: object) -> bool:
    return not isinstance(secret, dict) or "value" in secret
