"""What FastAPI makes of exceptions, and which of them are remembered."""

from typing import Any

import pytest
from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import JSONResponse

from tests.guard.adapters.fastapi_shop import KEY, OrderOut, Shop
from tocsin.guard import Transaction


def test_a_response_that_breaks_its_model_is_rolled_back(shop: Shop) -> None:
    """The handler had returned; the answer could not be made."""

    @shop.app.post("/order", response_model=OrderOut)
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        return {"number": "none"}

    with pytest.raises(ResponseValidationError):
        shop.post()
    assert (shop.orders, shop.operations) == ([], [])


def test_a_commit_that_fails_is_answered_as_such_and_no_byte_of_another_answer_leaves(shop: Shop) -> None:
    """A constraint that is checked at COMMIT: dependencies with yield have sent their 200 by then."""

    @shop.app.post("/order", status_code=201)
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        tx.execute("INSERT INTO lines VALUES (404)")
        return shop.write(tx)

    assert shop.post(raises=False).status == 500
    assert (shop.orders, shop.operations) == ([], [])


def test_raised_http_errors_are_rendered_by_the_applications_own_handlers_and_remembered(shop: Shop) -> None:
    rendered: list[int] = []

    @shop.app.exception_handler(404)
    async def not_there(_request: Request, error: HTTPException) -> Response:
        rendered.append(error.status_code)
        return JSONResponse({"error": error.detail}, 404, {"X-Shop": "1"})

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        raise HTTPException(404, "no such item")

    first, again = shop.post(), shop.post()
    assert (first.status, first.json(), first.field("X-Shop")) == (404, {"error": "no such item"}, ["1"])
    assert again.stored() == first.stored()
    assert (rendered, shop.orders, len(shop.operations)) == ([404], [], 1)


class OutOfStock(HTTPException):
    pass


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_a_handler_for_an_http_error_of_the_applications_own_is_found(shop: Shop, kind: str) -> None:
    def render(_request: Request, _error: Exception) -> Response:
        return JSONResponse("sold out", 410)

    async def render_async(request: Request, error: Exception) -> Response:
        return render(request, error)

    shop.app.add_exception_handler(OutOfStock, render if kind == "def" else render_async)

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        raise OutOfStock(404)

    assert [shop.post().status, shop.post().status] == [410, 410]
    assert (shop.runs, shop.orders) == (1, [])


def test_a_validation_error_raised_inside_is_a_refusal_of_the_handlers(shop: Shop) -> None:
    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        raise RequestValidationError([{"loc": ("body", "amount"), "msg": "too much", "type": "value_error"}])

    first, again = shop.post(), shop.post()
    assert (first.status, again.is_replay, again.body) == (422, True, first.body)
    assert (shop.runs, shop.orders) == (1, [])


class BrokenInvariantError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "status"), [(BrokenInvariantError(), 400), (HTTPException(503, "later"), 503)], ids=["own", "503"]
)
def test_an_exceptions_type_decides_and_not_what_its_handler_makes_of_it(
    shop: Shop, error: Exception, status: int
) -> None:
    """A defect that is rendered as 400 is still a defect: rolled back, rendered once, and a retry runs."""
    rendered: list[Exception] = []

    @shop.app.exception_handler(BrokenInvariantError)
    def sorry(_request: Request, error: Exception) -> Response:
        rendered.append(error)
        return JSONResponse("sorry", 400)

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        if shop.runs == 1:
            raise error
        return "done"

    assert shop.post().status == status
    assert len(rendered) == (status == 400)
    assert (shop.orders, shop.operations) == ([], [])
    assert shop.post().status == 200
