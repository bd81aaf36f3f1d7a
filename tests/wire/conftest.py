import random
from collections.abc import Callable

import pytest

from tocsin.wire import Address, Burst, Style, request_bytes


@pytest.fixture
def rng() -> random.Random:
    return random.Random(7)


@pytest.fixture
def burst_for() -> Callable[..., Burst]:
    """Makes a burst of orders for an address, of two members unless told otherwise."""

    def make(
        address: Address,
        n: int = 2,
        *,
        hold_s: float = 0.03,
        timeout_s: float = 10.0,
        body: bytes = b"order",
        style: Style | None = None,
        offsets_us: tuple[int, ...] = (),
    ) -> Burst:
        labels = tuple(f"POST /order order-{place}" for place in range(n))
        requests = tuple(
            request_bytes("POST", "/order", [("X-Order", label)], body, host=address.authority) for label in labels
        )
        return Burst(requests, labels, hold_s=hold_s, timeout_s=timeout_s, style=style, offsets_us=offsets_us)

    return make
