"""The lab's relay as a program, with the network of engines.md: 40 ms, and 3 ms of normal jitter for every piece.

`python -m bench.targets.relay PORT UPSTREAM_PORT`
"""

import asyncio
import random
import sys

from lab._relay import Link, serve


class Normal(Link):
    """A delay that is normal, as networks' are; `jitter_s` is its standard deviation."""

    def transit_s(self) -> float:
        return max(0.0, random.gauss(self.delay_s, self.jitter_s))


if __name__ == "__main__":
    own, upstream = map(int, sys.argv[1:])
    asyncio.run(serve("127.0.0.1", own, ("127.0.0.1", upstream), Normal(0.040, 0.003), lambda _: None))
