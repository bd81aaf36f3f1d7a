"""Effects outside the database: written with the commit that they tell of, delivered at least once.

    outbox = SQLiteOutbox("orders.db")
    outbox.put(tx, "partner", {"type": "order.paid", "order_id": order_id})

`tocsin outbox run` sends what has been committed. See `tocsin.outbox.sqlite` and `tocsin.outbox.postgres`.
"""

from tocsin.outbox._errors import OutboxError, OutboxUnavailable
from tocsin.outbox._message import Kept, Payload, Sent, State, Taken
from tocsin.outbox._retry import STANDARD_S, Retries
from tocsin.outbox._store import Outbox, Session

__all__ = [
    "STANDARD_S",
    "Kept",
    "Outbox",
    "OutboxError",
    "OutboxUnavailable",
    "Payload",
    "Retries",
    "Sent",
    "Session",
    "State",
    "Taken",
]
