"""A closed loop of connections: posts synthetic applications to the service for some seconds and prints the figures."""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from itertools import islice

import aiohttp

from producer.generator import generate_applications

HEADERS = {"Content-Type": "application/json"}
PREPARED = 50_000


def bodies() -> Iterator[bytes]:
    """Requests of one application each, without end; none is repeated before all were posted."""
    prepared = [b'{"applications":[%b]}' % record.value for record in islice(generate_applications(seed=1), PREPARED)]
    while True:
        yield from prepared


async def post_until(end: float, session: aiohttp.ClientSession, url: str, requests: Iterator[bytes]) -> list[float]:
    """One connection: posts, waits for the answer, posts the next. Returns the seconds that each answer took."""
    latencies = []
    while (began := time.perf_counter()) < end:
        async with session.post(url, data=next(requests), headers=HEADERS) as response:
            answer = await response.read()
            if response.status != 200:
                raise RuntimeError(f"status {response.status}: {answer.decode(errors='replace')}")
        latencies.append(time.perf_counter() - began)
    return latencies


async def load(url: str, connections: int, seconds: float) -> dict[str, float]:
    """Runs all connections at once, after one request that checks that the service answers."""
    requests = bodies()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        await post_until(time.perf_counter() + 0.001, session, url, requests)
        began = time.perf_counter()
        posters = [post_until(began + seconds, session, url, requests) for _ in range(connections)]
        latencies = sorted(latency for of_one in await asyncio.gather(*posters) for latency in of_one)
        took = time.perf_counter() - began
    return {
        "requests": len(latencies),
        "seconds": round(took, 3),
        "p50_ms": round(latencies[len(latencies) // 2] * 1e3, 1),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1e3, 1),
    }


def main() -> None:
    """Run from the project's root, so that the generator of applications is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:3000/classify")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(load(options.url, options.connections, options.seconds))))


if __name__ == "__main__":
    main()
