"""Every defence of tocsin-actix that is taken away makes a named test fail.

The crate itself knows nothing of twins: a copy of it is changed here, and asks its environment which defence to do
without. So all of them are one build.
"""

import inspect
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bench.crashing.actix import FEATURES
from lab._bruteforce import OrderDesk, sign_tocsin_v1
from lab._launch import launch
from lab._postgres import Cluster
from lab._services import LAB, find
from tests.guard.postgres.relay import Cut, Relay
from tests.lab import test_actix_guard as guard_tests
from tests.lab.test_actix_guard import NAME, SECRET, Through, cluster, relay

__all__ = ["cluster", "relay"]

CRATES = LAB / "actix"
BUILT = LAB.parent / "build" / "lab"
COPY = BUILT / "actix-twins"
PROGRAM, CRASHING = "guarded_twin", "crashing_twin"
# What they are called in the workspace: two builds into one folder must not have one name.
SOURCES = {PROGRAM: "guarded", CRASHING: "crashing"}
ASKS = """
/// Whether the environment asks for the program without this defence.
pub(crate) fn twin(name: &str) -> bool {
    std::env::var("TOCSIN_TWIN").is_ok_and(|wanted| wanted == name)
}
"""


@dataclass(frozen=True, slots=True)
class Twin:
    """A defence, how it is taken away, and the test that notices.

    Args:
        name: what is wrong with the twin.
        file: of the crate.
        old: what stands there.
        new: what stands there instead; `crate::twin` tells whether to do without.
        noticed_by: the test; it takes the service first.
        arguments: its other arguments; those that are fixtures are found by their names.
    """

    name: str
    file: str
    old: str
    new: str
    noticed_by: Callable[..., object]
    arguments: Mapping[str, Any] = field(default_factory=dict)


TWINS = [
    Twin(
        "a-key-for-every-delivery",
        "guard.rs",
        "key: claim_key(&verified.tenant, &self.name, &identifier),",
        """key: if crate::twin("a-key-for-every-delivery") {
            let now = format!("{:?}", std::time::Instant::now());
            claim_key(&verified.tenant, &self.name, &crate::identifier::Identifier::Text(now))
        } else {
            claim_key(&verified.tenant, &self.name, &identifier)
        },""",
        guard_tests.test_of_64_copies_at_once_one_is_applied_and_all_get_its_answer,
    ),
    Twin(
        "any-fingerprint",
        "claim.rs",
        "stored.is_some_and(",
        '!crate::twin("any-fingerprint") && stored.is_some_and(',
        guard_tests.test_another_request_under_a_used_key_is_422,
    ),
    Twin(
        "writes-apart-from-the-claim",
        "once.rs",
        "match handler(&mut granted.transaction).await {",
        """match if crate::twin("writes-apart-from-the-claim") {
            let mut apart = self.operation.0.pool.acquire().await.map_err(|error| Trouble::of(&error))?;
            handler(&mut apart).await
        } else {
            handler(&mut granted.transaction).await
        } {""",
        guard_tests.test_a_refusal_is_undone_as_a_whole_and_remembered,
    ),
    Twin(
        "a-refusal-that-is-not-remembered",
        "once.rs",
        "if !is_remembered(response.status()) {",
        'if !is_remembered(response.status()) || is_refusal && crate::twin("a-refusal-that-is-not-remembered") {',
        guard_tests.test_a_refusal_is_undone_as_a_whole_and_remembered,
    ),
    Twin(
        "an-answer-before-commit",
        "once.rs",
        "let key = self.claim.key;",
        """let key = self.claim.key;
        if crate::twin("an-answer-before-commit") {
            let early = answer.clone();
            rt::spawn(async move {
                // Forced wide: by then the answer has left.
                sleep(Duration::from_millis(50)).await;
                store::settle(granted, key, &answer).await
            });
            return Ok(early.into_response());
        }""",
        guard_tests.test_an_answer_leaves_after_commit_and_not_before,
    ),
    Twin(
        "a-lost-commit-is-given-up",
        "once.rs",
        "commits += 1;",
        'commits += if crate::twin("a-lost-commit-is-given-up") { MOST_COMMITS } else { 1 };',
        guard_tests.test_a_connection_that_is_lost_at_commit_leaves_one_effect_and_its_answer,
        {"cut": Cut.AFTER},
    ),
    Twin(
        "a-conflict-is-given-up",
        "once.rs",
        "runs += 1;",
        'runs += if crate::twin("a-conflict-is-given-up") { MOST_RUNS } else { 1 };',
        guard_tests.test_of_two_transfers_that_wait_for_each_other_one_is_undone_and_runs_again,
    ),
    Twin(
        "any-signature",
        "verify.rs",
        "candidates.find(|secret| ",
        'candidates.find(|secret| crate::twin("any-signature") || ',
        guard_tests.test_a_signature_of_another_body_is_401_and_changes_nothing,
    ),
    Twin(
        "any-age",
        "verify.rs",
        "if age_ms.saturating_abs() > scheme.tolerance_ms {",
        'if age_ms.saturating_abs() > scheme.tolerance_ms && !crate::twin("any-age") {',
        guard_tests.test_a_message_may_be_300_s_old_or_early,
        {"age_s": 310, "status": 401},
    ),
    Twin(
        "any-length",
        "request.rs",
        "operation.0.limits.max_body_bytes).await?",
        'if crate::twin("any-length") { 1 << 30 } else { operation.0.limits.max_body_bytes }).await?',
        guard_tests.test_a_body_of_more_than_1_mib_is_413_and_one_of_1_mib_is_hashed,
    ),
    Twin(
        "what-was-forgotten-is-new",
        "store.rs",
        "if let Some(earliest_unix_ms) = claim.earliest_unix_ms {",
        """let remembers = !crate::twin("what-was-forgotten-is-new");
        if let Some(earliest_unix_ms) = claim.earliest_unix_ms.filter(|_| remembers) {""",
        guard_tests.test_a_message_as_old_as_a_claim_that_was_let_go_is_refused,
    ),
    Twin(
        "no-answer-is-an-answer",
        "once.rs",
        "let Some(status) = record.status else { return problem::answer_unknown() };",
        """let Some(status) = record.status.or_else(|| crate::twin("no-answer-is-an-answer").then_some(200)) else {
            return problem::answer_unknown();
        };""",
        guard_tests.test_a_claim_without_an_answer_is_never_applied_again,
    ),
]


@pytest.fixture(scope="module")
def program() -> Path:
    """The guarded service, built from the changed copy."""
    if missing := find(NAME).missing():
        pytest.skip(f"{NAME} needs {missing}")
    return built(PROGRAM)


def built(program: str) -> Path:
    """One of the programs of the changed copy; both are one build, whoever comes first."""
    changed = {path.relative_to(CRATES): path.read_text() for path in CRATES.rglob("*") if is_source(path)}
    source = Path("tocsin-actix/src")
    for twin in TWINS:
        text = changed[source / twin.file]
        assert text.count(twin.old) == 1, f"{twin.name}: {twin.file} has {twin.old!r} {text.count(twin.old)} times"
        changed[source / twin.file] = text.replace(twin.old, twin.new)
    changed[source / "lib.rs"] += ASKS
    bins, manifest = Path("services/src/bin"), Path("services/Cargo.toml")
    changed = {path: text for path, text in changed.items() if path.parent != bins or path.stem in SOURCES.values()}
    for name, stem in SOURCES.items():
        changed[bins / f"{name}.rs"] = changed.pop(bins / f"{stem}.rs")
        changed[manifest] = changed[manifest].replace(f'"{stem}"', f'"{name}"').replace(f"/{stem}.rs", f"/{name}.rs")
    write(changed)
    command = ["cargo", "build", "--quiet", *FEATURES, "--target-dir", str(BUILT / "actix")]
    subprocess.run([*command, *(word for name in SOURCES for word in ("--bin", name))], cwd=COPY, check=True)
    return BUILT / "actix" / "lab" / program


def is_source(path: Path) -> bool:
    return path.is_file() and path.suffix in {".rs", ".toml", ".lock"} and "target" not in path.parts


def write(files: Mapping[Path, str]) -> None:
    """What has not changed keeps its time, so that cargo does not build it again."""
    for old in COPY.rglob("*"):
        if old.is_file() and old.relative_to(COPY) not in files:
            old.unlink()
    for path, text in files.items():
        target = COPY / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_text() != text:
            target.write_text(text)


def noticed(twin: Twin | None, program: Path, cluster: Cluster, relay: Relay, patch: pytest.MonkeyPatch) -> None:
    """Run a twin's test; for None those of all twins, on the copy as it is with every defence."""
    patch.setenv("TOCSIN_TWIN", "" if twin is None else twin.name)
    service = replace(find(NAME), command=(str(program), "{port}"), build=())
    # All of them through the relay, which one of them needs: it passes on everything else.
    url = cluster.url.replace(str(cluster.port), str(relay.port))
    with launch(service, secret=SECRET, database=Through(url)) as running:
        desk = OrderDesk(running, sign_tocsin_v1)
        for each in [twin] if twin is not None else TWINS:
            first, *others = inspect.signature(each.noticed_by).parameters
            given = {"relay": relay} if "relay" in others else {}
            each.noticed_by(**{first: desk}, **each.arguments, **given)


def test_with_every_defence_the_copy_passes(
    program: Path, cluster: Cluster, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the twins' tests might fail for anything."""
    noticed(None, program, cluster, relay, monkeypatch)


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
def test_a_defence_that_is_taken_away_is_missed(
    twin: Twin, program: Path, cluster: Cluster, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError):
        noticed(twin, program, cluster, relay, monkeypatch)


@pytest.mark.parametrize(
    "words",
    [
        ["test", "--quiet", "--profile", "lab", "--package", "tocsin-actix"],
        ["fmt", "--check"],
        ["clippy", "--quiet", "--profile", "lab", "--all-targets", "--all-features", "--", "-D", "warnings"],
    ],
    ids=lambda words: words[0],
)
def test_the_crates_pass_their_own_tests_and_are_formatted_and_linted(words: list[str]) -> None:
    if missing := find(NAME).missing():
        pytest.skip(f"{NAME} needs {missing}")
    tool = {"fmt": "rustfmt", "clippy": "clippy"}.get(words[0])
    asked = ["cargo", words[0], "--version"]
    if tool and subprocess.run(asked, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"no cargo {words[0]}; rustup component add {tool}")
    environment = os.environ | {"CARGO_TARGET_DIR": str(BUILT / "actix")}
    ran = subprocess.run(["cargo", *words], cwd=CRATES, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_dependency_is_pinned_and_no_lock_is_kept() -> None:
    manifest = (CRATES / "Cargo.toml").read_text()
    versions = [line for line in manifest.partition("[workspace.dependencies]")[2].splitlines() if "version = " in line]
    assert versions
    assert all('version = "=' in line for line in versions)
    ignored = (LAB.parent / ".gitignore").read_text().splitlines()
    assert {"lab/actix/Cargo.lock", "lab/actix/target/", "build/"} <= {*ignored}
