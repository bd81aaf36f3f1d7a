"""The order endpoint on Starlette."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench.costs.chosen import ANSWER, IS_GUARDED, KEY, guard, orders
from tocsin.guard import Signed


async def bare(request: Request) -> JSONResponse:
    await orders.write_alone((await request.json())["order_id"])
    return JSONResponse(ANSWER)


@guard.starlette(key=KEY)
async def guarded(_request: Request, signed: Signed, tx: Any) -> JSONResponse:  # noqa: ANN401  of the chosen store
    document: Any = signed.json()
    await orders.write(tx, document["order_id"])
    return JSONResponse(ANSWER)


async def ready(_: Request) -> JSONResponse:
    return JSONResponse(ANSWER)


order: Any = guarded if IS_GUARDED else bare
app = Starlette(routes=[Route("/order", order, methods=["POST"]), Route("/ready", ready)])
