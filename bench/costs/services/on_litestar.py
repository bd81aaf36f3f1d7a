"""The order endpoint on Litestar."""

from litestar import Litestar, get, post
from litestar.params import JSONBody

from bench.costs.chosen import ANSWER, IS_GUARDED, KEY, guard, orders
from tocsin.guard import Transaction


@post("/order", status_code=200)
async def bare(data: JSONBody[dict[str, str]]) -> dict[str, str]:
    await orders.write_alone(data["order_id"])
    return ANSWER


@post("/order", status_code=200)
@guard.litestar(key=KEY)
async def guarded(data: JSONBody[dict[str, str]], tx: Transaction) -> dict[str, str]:
    await orders.write(tx, data["order_id"])
    return ANSWER


@get("/ready")
async def ready() -> dict[str, str]:
    return ANSWER


app = Litestar([guarded if IS_GUARDED else bare, ready], openapi_config=None, logging_config=None)
