"""The order endpoint on Quart."""

from typing import Any

from quart import Quart, request

from bench.costs.chosen import ANSWER, IS_GUARDED, KEY, guard, orders
from tocsin.guard import Signed

app = Quart(__name__)


async def bare() -> dict[str, str]:
    await orders.write_alone((await request.get_json())["order_id"])
    return ANSWER


@guard.quart(key=KEY)
async def guarded(signed: Signed, tx: Any) -> dict[str, str]:  # noqa: ANN401  of the store that was chosen
    document: Any = signed.json()
    await orders.write(tx, document["order_id"])
    return ANSWER


async def ready() -> dict[str, str]:
    return ANSWER


order: Any = guarded if IS_GUARDED else bare
app.post("/order")(order)
app.get("/ready")(ready)
