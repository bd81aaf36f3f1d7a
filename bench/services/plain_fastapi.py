"""The order endpoint on FastAPI, without signature, claim and database: what the framework alone costs."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Order(BaseModel):
    order_id: str
    note: str


@app.post("/order")
async def order(received: Order) -> dict[str, str]:
    assert received.order_id
    return {"status": "processed"}
