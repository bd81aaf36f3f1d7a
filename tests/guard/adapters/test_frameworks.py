"""What is wrong with a declaration is said when the service starts, whatever its framework."""

import sys
from pathlib import Path

import pytest

from tests.guard.adapters.on_wsgi import OnWSGI
from tests.guard.adapters.service import Service
from tocsin.guard import GuardError, json_pointer

FRAMEWORKS = ("flask", "wsgi", "asgi", "fastapi", "starlette", "django", "robyn", "litestar", "quart")


@pytest.mark.parametrize("framework", ["flask", "fastapi", "starlette", "robyn", "litestar", "quart"])
def test_what_is_not_installed_is_named(framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service: Service = OnWSGI(tmp_path / "orders.db")
    for name in [
        name for name in sys.modules if name.partition(".")[0] == framework or name.endswith(f"s.{framework}")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, framework, None)
    with pytest.raises(GuardError, match=rf"guard.{framework}: .*; wanted: pip install 'tocsin\[{framework}\]'"):
        getattr(service.guard, framework)(name="/order")
    service.close()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_option_that_there_is_not_is_refused(framework: str, tmp_path: Path) -> None:
    """A key that is misspelt and ignored would leave the scheme's message id to say what is the same operation."""
    service: Service = OnWSGI(tmp_path / "orders.db")
    with pytest.raises(TypeError, match=rf"guard.{framework}\(\) has no option 'keys'; wanted: key, remember"):
        getattr(service.guard, framework)(name="/order", keys=json_pointer("/order_id"))
    with pytest.raises(TypeError, match=r"no option 'shared_secret': it is an option of Guard\(\), for all routes"):
        getattr(service.guard, framework)(name="/order", shared_secret=True)
    service.close()


def test_the_kind_of_store_has_to_fit_the_kind_of_handler(tmp_path: Path) -> None:
    class ForThreads:
        take = OnWSGI

    class ForTasks:
        take_async = OnWSGI

    async def on_a_task(tx: object) -> None:
        raise AssertionError(tx)

    def on_a_thread(tx: object) -> None:
        raise AssertionError(tx)

    service = OnWSGI(tmp_path / "orders.db", shared_secret=True)
    store = service.guard._store
    for framework in ("fastapi", "starlette", "robyn", "litestar", "quart"):
        for kind, handler in ((ForThreads, on_a_task), (ForTasks, on_a_thread)):
            service.guard._store = kind()  # type: ignore[assignment]
            with pytest.raises(GuardError, match=rf"guarded by guard.{framework}, runs on .*{kind.__name__}"):
                getattr(service.guard, framework)(name="/order")(handler)
    service.guard._store = store
    service.close()
