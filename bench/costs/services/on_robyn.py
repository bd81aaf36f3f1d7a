"""The order endpoint on Robyn, on threads of Actix."""

import json
from typing import Any

from robyn import Request, Robyn

from bench.costs.chosen import ANSWER, IS_GUARDED, KEY, guard, orders
from tocsin.guard import Signed

app = Robyn(__file__)


def bare(request: Request) -> dict[str, str]:
    orders.write_alone(json.loads(request.body)["order_id"])
    return ANSWER


@guard.robyn(name="/order", key=KEY)
def guarded(_request: Request, signed: Signed, tx: Any) -> dict[str, str]:  # noqa: ANN401  of the store that was chosen
    document: Any = signed.json()
    orders.write(tx, document["order_id"])
    return ANSWER


def ready(_: Request) -> dict[str, str]:
    return ANSWER


app.post("/order")(guarded if IS_GUARDED else bare)
app.get("/ready")(ready)

if __name__ == "__main__":
    # The port is from ROBYN_PORT.
    app.start(_check_port=False)
