"""Many identical requests at once, at the store: `python burst.py (threads|tasks) COUNT CONNINFO`.

Says when it is ready, waits for a line, and then prints how many were granted and what the others were answered.
"""

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

from tocsin.guard.stores import Forgotten, Granted, Record
from tocsin.guard.stores.postgres import AsyncPostgresStore, PostgresStore
from tocsin.guard.stores.postgres._async_unit import AsyncUnit
from tocsin.guard.testing import ANSWER, claim

EFFECT = "INSERT INTO orders (order_id) VALUES ('17')"
GRANTED = "granted"


def answer_of(taken: Record | Forgotten | object) -> str:
    assert isinstance(taken, Record)
    assert taken.body is not None
    return taken.body.hex()


def threads(count: int, conninfo: str) -> list[str]:
    store = PostgresStore(conninfo)
    start = Barrier(count)

    def one(number: int) -> str:
        start.wait()
        taken = store.take(claim(), 60)
        if not isinstance(taken, Granted):
            return answer_of(taken)
        taken.tx.execute(EFFECT)
        taken.settle(replace(ANSWER, body=b"%d" % number))
        return GRANTED

    with ThreadPoolExecutor(count) as pool:
        said = list(pool.map(one, range(count)))
    store.close()
    return said


async def tasks(count: int, conninfo: str) -> list[str]:
    store = AsyncPostgresStore(conninfo)

    async def one(number: int) -> str:
        taken = await store.take_async(claim(), 60)
        if not isinstance(taken, AsyncUnit):
            return answer_of(taken)
        await taken.tx.execute(EFFECT)
        await taken.settle_async(replace(ANSWER, body=b"%d" % number))
        return GRANTED

    said = await asyncio.gather(*[one(number) for number in range(count)])
    await store.close_async()
    return said


if __name__ == "__main__":
    kind, number, where = sys.argv[1:]
    print("ready", flush=True)  # noqa: T201  to its parent
    sys.stdin.readline()
    told = threads(int(number), where) if kind == "threads" else asyncio.run(tasks(int(number), where))
    print(json.dumps(told))  # noqa: T201  likewise
