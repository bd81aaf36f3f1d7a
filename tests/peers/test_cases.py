"""The guard through the cases in which other libraries fail, and nothing at all through the same: it fails them.

The libraries themselves are in an environment of their own: python -m bench.peers.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peers.__main__ import LIBRARIES
from bench.peers.cases import CASES, Outcome
from bench.peers.running import OUR_PYTHON, Library, Service

OURS = [library for library in LIBRARIES if library.python == OUR_PYTHON]
UNGUARDED = Library("unguarded", OUR_PYTHON, "service", "unguarded")


def outcomes(library: Library, directory: Path) -> Iterator[tuple[str, Outcome]]:
    """Without the case that waits for a lease to end: nothing here has one."""
    for workers in (1, 2):
        data = directory / str(workers)
        data.mkdir()
        with Service(library, data, workers, "", 0) as service:
            for case in CASES:
                if case.workers == workers and not case.lease_s:
                    yield case.name, case.run(service)


@pytest.mark.parametrize("library", OURS, ids=lambda library: str(library.name))
def test_every_case_is_right_behind_the_guard(library: Library, tmp_path: Path) -> None:
    assert {name: one.words for name, one in outcomes(library, tmp_path) if not one.is_right} == {}


def test_a_service_without_any_guard_is_wrong_where_that_can_be_seen(tmp_path: Path) -> None:
    """Otherwise the cases would say nothing about those that have one."""
    right = {name for name, one in outcomes(UNGUARDED, tmp_path) if one.is_right}
    assert right == {"same key and body, another sender"}
