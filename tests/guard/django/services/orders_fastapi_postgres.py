"""The same orders on FastAPI, over the same claims."""

import json
import os
import secrets

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.postgres import AsyncPostgresStore, AsyncTransaction
from tocsin.signing import KeyRing, Secret, preset

app = FastAPI()
KEYS = KeyRing.of(Secret.from_env("ORDERS_SECRET"))
guard = Guard(preset("hex-sha256-body"), KEYS, AsyncPostgresStore(os.environ["ORDERS_DSN"]), wait_s=20)


@app.post("/order")
@guard.fastapi(key=json_pointer("/order_id"))
async def order(signed: Signed, tx: AsyncTransaction) -> JSONResponse:
    await tx.execute("INSERT INTO orders (order_id) VALUES (%s)", (json.loads(signed.body)["order_id"],))
    answer = {"receipt": secrets.token_hex(8), "by": "fastapi"}
    return JSONResponse(answer, 201, {"X-Receipt": secrets.token_hex(4)})


os.write(2, b"Ready to take orders\n")
