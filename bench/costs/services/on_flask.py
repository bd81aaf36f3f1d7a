"""The order endpoint on Flask."""

from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue

from bench.costs.chosen import ANSWER, IS_GUARDED, KEY, guard, orders
from tocsin.guard import Signed

app = Flask(__name__)


def bare() -> ResponseReturnValue:
    orders.write_alone(request.get_json()["order_id"])
    return ANSWER


@guard.flask(key=KEY)
def guarded(_: Signed, tx: Any) -> ResponseReturnValue:  # noqa: ANN401  of the store that was chosen
    orders.write(tx, request.get_json()["order_id"])
    return ANSWER


app.post("/order")(guarded if IS_GUARDED else bare)
app.get("/ready")(lambda: ANSWER)
