from dataclasses import replace
from pathlib import Path

import pytest

from tests.scan.services.desk import SECRET
from tocsin.scan import _backoff, _session, _trials
from tocsin.scan.checks import concurrent_duplicate, over_allocation


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six bursts of a kind, one of each size, parked briefly, and short looks at whether the state stands still.

    The services of these tests overlap because they wait for each other, and nobody else writes to them.
    """
    few = tuple(replace(variant, wanted=6) for variant in concurrent_duplicate._VARIANTS)
    monkeypatch.setattr(concurrent_duplicate, "_VARIANTS", few)
    monkeypatch.setattr(over_allocation, "_WANTED_BURSTS", 6)
    monkeypatch.setattr(_backoff, "_HOLD_S", 0.005)
    monkeypatch.setattr(_session, "_IDLE_S", 0.02)
    monkeypatch.setattr(_trials, "_WATCHED_AT_LEAST_S", 0.05)
    monkeypatch.setattr(_trials, "_WATCHED_TIMES", 0.0)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, and the secret in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DESK_SECRET", SECRET)
