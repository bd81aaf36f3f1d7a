"""What the guard refuses when a service starts, or, where Flask knows no earlier moment, at its first request."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from flask import Flask
from flask.views import MethodView

from tests.guard.shop import HEX, SECRET, Shop, write_order
from tocsin.guard import Fingerprint, Guard, GuardError, Signed, Transaction, body_digest, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyRing, Message, Scheme, SchemeError, Secret, preset, sign

MakeShop = Callable[..., Shop]
KEY = json_pointer("/order_id")
ANOTHER = Secret(b"another secret of the tests", key_id="k2")


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    return SQLiteStore(tmp_path / "orders.db")


def first(signed: Signed, tx: Transaction) -> Any:
    return write_order(signed, tx)


def second(signed: Signed, tx: Transaction) -> Any:
    return write_order(signed, tx)


def test_a_second_route_with_one_secret_is_refused_where_the_path_is_not_signed(store: SQLiteStore) -> None:
    """One signed body would take effect once on each of them."""
    guard = Guard(HEX, KeyRing.of(SECRET), store)
    guard.flask(key=KEY)(first)
    with pytest.raises(
        GuardError, match=r"second and .*first verify with one secret.*\bGuard\(\.\.\., shared_secret=True\)"
    ):
        guard.flask(key=KEY)(second)


def test_another_guard_over_the_same_store_is_no_way_round_it(store: SQLiteStore) -> None:
    Guard(HEX, KeyRing.of(SECRET), store).flask(key=KEY)(first)
    with pytest.raises(GuardError, match="verify with one secret"):
        Guard(HEX, KeyRing.of(ANOTHER, SECRET), store).flask(key=KEY)(second)


@pytest.mark.parametrize(
    ("scheme", "keys", "options", "name"),
    [
        (HEX, KeyRing.of(SECRET), {"shared_secret": True}, None),
        (HEX, KeyRing.of(SECRET), {}, "order"),
        (preset("tocsin-v1"), KeyRing.of(SECRET), {}, None),
    ],
    ids=["accepted", "one operation under two paths", "the path is signed"],
)
def test_a_second_route_is_welcome_where_nothing_takes_effect_twice(
    store: SQLiteStore, scheme: Scheme, keys: KeyRing, options: dict[str, Any], name: str | None
) -> None:
    guard = Guard(scheme, keys, store, **options)
    for handler in (first, second):
        guard.flask(key=KEY, name=name)(handler)


def test_a_second_route_with_a_secret_of_its_own_is_welcome(store: SQLiteStore) -> None:
    Guard(HEX, KeyRing.of(SECRET), store).flask(key=KEY)(first)
    Guard(HEX, KeyRing.of(ANOTHER), store).flask(key=KEY)(second)


def test_an_application_factory_that_runs_twice_guards_the_same_route(store: SQLiteStore) -> None:
    guard = Guard(HEX, KeyRing.of(SECRET), store)
    for _ in range(2):
        Flask("shop").post("/order")(guard.flask(key=KEY)(first))


def test_two_applications_of_one_class_are_two_routes(store: SQLiteStore) -> None:
    """Their `wsgi_app` is defined in one place, and each has effects of its own."""
    guard = Guard(HEX, KeyRing.of(SECRET), store)
    guard.wsgi(name="orders", key=KEY)(Flask("orders").wsgi_app)
    with pytest.raises(GuardError, match=r"wsgi_app as 'refunds' and .*wsgi_app as 'orders' verify with one secret"):
        guard.wsgi(name="refunds", key=KEY)(Flask("refunds").wsgi_app)
    guard.wsgi(name="orders", key=KEY)(Flask("again").wsgi_app)


def test_one_handler_with_a_name_and_without_one_is_two_routes(store: SQLiteStore) -> None:
    guard = Guard(HEX, KeyRing.of(SECRET), store)
    guard.flask(key=KEY, name="order")(first)
    with pytest.raises(GuardError, match=r"first and .*first as 'order' verify with one secret"):
        guard.flask(key=KEY)(first)


@pytest.mark.parametrize("name", ["github", "hex-sha256-body"])
def test_a_scheme_without_a_signed_message_id_makes_the_developer_say(store: SQLiteStore, name: str) -> None:
    guard = Guard(preset(name), KeyRing.of(SECRET), store)
    with pytest.raises(GuardError, match="signs no message id"):
        guard.flask()(first)
    guard.flask(key=body_digest(days=7))(first)


def test_a_claim_that_its_message_could_outlive_is_refused_at_start(store: SQLiteStore) -> None:
    with pytest.raises(GuardError, match="claim_days = 1"):
        Guard(preset("stripe"), KeyRing.of(SECRET), store, claim_days=1).flask()(first)


def test_a_ring_without_key_ids_is_refused_where_the_scheme_wants_them(store: SQLiteStore) -> None:
    with pytest.raises(SchemeError):
        Guard(preset("tocsin-v1"), KeyRing.of(Secret(b"a secret without a key id")), store)


def test_an_async_handler_is_refused(store: SQLiteStore) -> None:
    """Its coroutine would be stored as the answer, and never be awaited."""

    async def handler(signed: Signed, tx: Transaction) -> str:
        return f"{signed}{tx}"

    with pytest.raises(GuardError, match="is async"):
        Guard(HEX, KeyRing.of(SECRET), store).flask(key=KEY)(handler)  # type: ignore[arg-type]


def test_a_method_is_refused(store: SQLiteStore) -> None:
    guard = Guard(HEX, KeyRing.of(SECRET), store)
    with pytest.raises(GuardError, match=r"Orders\.post is a method"):

        class Orders(MethodView):
            @guard.flask(key=KEY)  # type: ignore[arg-type]
            def post(self, signed: Signed, tx: Transaction) -> Any:
                return write_order(signed, tx)


def test_a_class_that_is_guarded_as_a_whole_is_refused(store: SQLiteStore) -> None:
    class Orders(MethodView):
        decorators: ClassVar = [Guard(HEX, KeyRing.of(SECRET), store).flask(key=KEY)]

        def post(self, signed: Signed, tx: Transaction) -> Any:
            return write_order(signed, tx)

    with pytest.raises(GuardError, match=r"test_flask_startup\.orders is the view of a whole class"):
        Orders.as_view("orders")


def test_what_is_refused_is_no_route(store: SQLiteStore) -> None:
    """A program that goes on without it has nothing to tell apart from it."""
    guard = Guard(HEX, KeyRing.of(SECRET), store)
    with pytest.raises(GuardError):
        guard.flask(key=KEY)(Flask.full_dispatch_request)  # type: ignore[arg-type]
    guard.flask(key=KEY)(first)


@pytest.mark.parametrize(
    ("option", "value"), [("wait_s", -1), ("wait_s", float("nan")), ("max_body_bytes", 0), ("max_answer_bytes", -1)]
)
def test_a_limit_that_is_none_is_refused(store: SQLiteStore, option: str, value: float) -> None:
    with pytest.raises(GuardError, match=f"{option} = {value!r}"):
        Guard(HEX, KeyRing.of(SECRET), store, **{option: value})  # type: ignore[arg-type]


def test_the_operations_name_is_the_path_template_and_never_the_functions(make_shop: MakeShop) -> None:
    shop = make_shop()
    shop.order()
    assert shop.query("SELECT tenant, operation FROM tocsin_claims") == [("main", "/order")]


def test_an_explicit_name_outlives_its_path(make_shop: MakeShop, tmp_path: Path) -> None:
    """The service moves /order to /v2/orders; a retry of before the move is still a retry."""
    shop = make_shop(route={"key": KEY, "name": "order", "fingerprint": Fingerprint.BODY})
    before = shop.order()
    moved = Flask("moved")
    store = SQLiteStore(tmp_path / "orders.db")
    guard = Guard(HEX, KeyRing.of(SECRET), store, fingerprint=Fingerprint.BODY, clock=shop.clock)
    moved.post("/v2/orders")(guard.flask(key=KEY, name="order")(first))
    body = b'{"order_id": "17"}'
    answer = moved.test_client().post("/v2/orders", data=body, headers=list(shop.signed(body)))
    assert answer.data == before.data


def client_of(guard: Guard[Any], *paths: str) -> Callable[[str], Any]:
    app = Flask("shop")
    app.testing = True
    view = guard.flask(key=KEY)(first)
    for path in paths:
        app.post(path, endpoint=path)(view)
    body = b'{"order_id":"17"}'
    headers = list(sign(Message("POST", "/", (), body), HEX, SECRET, now=0))
    return lambda path: app.test_client().post(path, data=body, headers=headers)


def test_a_view_under_two_paths_wants_a_name(store: SQLiteStore) -> None:
    """Two names would let one message take effect twice, and either alone would change with the routes."""
    post = client_of(Guard(HEX, KeyRing.of(SECRET), store), "/a", "/b")
    with pytest.raises(GuardError, match=r"registered under 2 paths \(/a, /b\); wanted a name="):
        post("/a")


class Making:
    """An application whose views come from a factory of views."""

    def __init__(self, guard: Guard[Any]) -> None:
        self.ran: list[str] = []
        self._guard = guard
        self._app = Flask("made")

    def view_at(self, path: str) -> None:
        """One more view, defined where all the others are."""

        @self._app.post(path, endpoint=path)
        @self._guard.flask(key=KEY)
        def view(_signed: Signed, _tx: Transaction) -> str:
            self.ran.append(path)
            return path

    def post(self, path: str, scheme: Scheme = HEX) -> int:
        """Send an order there, always the same one; what is answered."""
        body = b'{"order_id":"17"}'
        message = Message("POST", path, (("Idempotency-Key", "a"),), body)
        headers = [*message.headers, *sign(message, scheme, SECRET, now=time.time())]
        return self._app.test_client().post(path, data=body, headers=headers).status_code


def test_a_factory_of_views_makes_two_routes_of_one_secret_and_the_second_never_runs(store: SQLiteStore) -> None:
    """They are defined in one place, so nothing but their paths tells that they are two; those come with a request."""
    made = Making(Guard(HEX, KeyRing.of(SECRET), store))
    for path in ("/order", "/refund"):
        made.view_at(path)
    assert [made.post(path) for path in ("/order", "/refund", "/refund", "/order")] == [200, 500, 500, 200]
    assert made.ran == ["/order"]
    made._app.testing = True
    with pytest.raises(GuardError, match=r"view as '/refund' and .*view as '/order' verify with one secret"):
        made.post("/refund")


@pytest.mark.parametrize(
    ("scheme", "options"), [(HEX, {"shared_secret": True}), (preset("tocsin-v1"), {})], ids=["accepted", "path signed"]
)
def test_a_factory_of_views_is_welcome_where_nothing_takes_effect_twice(
    store: SQLiteStore, scheme: Scheme, options: dict[str, Any]
) -> None:
    made = Making(Guard(scheme, KeyRing.of(SECRET), store, **options))
    for path in ("/order", "/refund"):
        made.view_at(path)
    assert [made.post(path, scheme) for path in ("/order", "/refund")] == [200, 200]


def test_an_application_factory_that_runs_twice_serves_one_route(store: SQLiteStore) -> None:
    """Each of its applications finds the name of its own view, and it is the same name."""
    guard = Guard(HEX, KeyRing.of(SECRET), store)
    made = [Making(guard) for _ in range(2)]
    for app in made:
        app.view_at("/order")
    assert [app.post("/order") for app in made] == [200, 200]
    assert [app.ran for app in made] == [["/order"], []]


def test_two_handlers_under_one_path_want_a_name_each(make_shop: MakeShop) -> None:
    """POST /order/17 and DELETE /order/17 are two operations."""
    shop = make_shop(scheme=preset("tocsin-v1"))

    @shop.app.delete("/order")
    @shop.guard.flask(key=KEY)
    def cancel(signed: Signed, tx: Transaction) -> Any:
        return write_order(signed, tx)

    headers = (("Idempotency-Key", "a"),)
    assert shop.post({"order_id": "17"}, headers=headers).status_code == 200
    with pytest.raises(GuardError, match="both guarded as '/order'"):
        shop.app.test_client().delete("/order")


def test_importing_the_guard_imports_no_framework_and_no_scanner() -> None:
    """A production server loads what it runs."""
    code = (
        "import sys, tocsin.guard, tocsin.guard.stores.sqlite, tocsin.guard.testing;"
        "bad = {'flask', 'werkzeug', 'h11', 'rich', 'tocsin.scan', 'tocsin.wire', 'tocsin.events', 'tocsin.history'};"
        "sys.exit(str(bad & set(sys.modules)) if bad & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
