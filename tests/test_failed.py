"""What CI runs once more."""

import pytest

from tools.failed import again


@pytest.mark.parametrize(
    ("failed", "refused"),
    [
        ([], "no test has failed, so there is nothing to run again"),
        (["a"], None),
        (["a", "b", "c"], None),
        (["a", "b", "c", "d"], "4 tests have failed; at most 3 are run again"),
    ],
)
def test_few_failures_are_run_again_and_none_or_many_are_not(failed: list[str], refused: str | None) -> None:
    assert again(failed) == refused
