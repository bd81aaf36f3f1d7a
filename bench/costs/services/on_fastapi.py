"""The order endpoint on FastAPI: `def` or `async def`, by the name of the adapter."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from bench.costs.chosen import ADAPTER, ANSWER, IS_GUARDED, KEY, guard, orders
from tocsin.guard import Transaction

app = FastAPI()


class Order(BaseModel):
    order_id: str
    note: str


def bare(received: Order) -> dict[str, str]:
    orders.write_alone(received.order_id)
    return ANSWER


def guarded(received: Order, tx: Transaction) -> dict[str, str]:
    orders.write(tx, received.order_id)
    return ANSWER


async def bare_async(received: Order) -> dict[str, str]:
    await orders.write_alone(received.order_id)
    return ANSWER


async def guarded_async(received: Order, tx: Transaction) -> dict[str, str]:
    await orders.write(tx, received.order_id)
    return ANSWER


forms: Any = (bare_async, guarded_async) if ADAPTER.endswith("async def") else (bare, guarded)
app.post("/order")(guard.fastapi(key=KEY)(forms[1]) if IS_GUARDED else forms[0])


@app.get("/ready")
async def ready() -> dict[str, str]:
    return ANSWER
