"""What every test needs: a scan keeps its runs in a folder of the tests, and not in the user's."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs the lab's Rust has to build it, which takes minutes on a small machine."""
    for item in items:
        if "actix" in item.nodeid:
            item.add_marker(pytest.mark.timeout(1200))
