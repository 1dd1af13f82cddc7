"""Load from a process of its own, so that the generator never waits for the GIL of whom it measures.

`wrk` where it is installed; else this file, run as a program, which is slower itself and therefore makes
all servers look more alike. Only ever aimed at 127.0.0.1, for a few seconds.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import time
from urllib.parse import urlsplit

CONNECTIONS = 16
WRK = shutil.which("wrk")


def requests_per_second(
    url: str, seconds: int, *headers: str, connections: int = CONNECTIONS
) -> tuple[float, int]:
    """Load a URL, with headers (`name: value`) if any; return the rate and the number of answers.

    Raises RuntimeError when an answer is anything but a 2xx: half-broken servers are quick.
    """
    if WRK is None:
        command = [sys.executable, __file__, url, str(seconds), str(connections), *headers]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rate, answers, bad = report.split()
    else:
        command = [WRK, "-t1", f"-c{connections}", f"-d{seconds}s", url]
        for header in headers:
            command += ["-H", header]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rate = _find(r"Requests/sec:\s+([\d.]+)", report)
        answers = _find(r"(\d+) requests in", report)
        bad = _find(r"Non-2xx or 3xx responses: (\d+)", report)
    if int(bad) or not int(answers):
        raise RuntimeError(f"{url}: {answers} answers, {bad} of them not 2xx")
    return float(rate), int(answers)


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else "0"


async def _load(url: str, seconds: float, connections: int, *headers: str) -> tuple[float, int, int]:
    address = urlsplit(url)
    lines = ["GET / HTTP/1.1", f"Host: {address.netloc}", *headers, "", ""]
    request = "\r\n".join(lines).encode()
    answers = bad = 0
    began = time.perf_counter()

    async def client() -> None:
        nonlocal answers, bad
        reader = writer = None
        while time.perf_counter() - began < seconds:
            if writer is None:
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(_find(r"content-length: (\d+)", head.decode("latin-1"))))
            answers += 1
            bad += not head.split()[1].startswith(b"2")
            if b"connection: close" in head:
                writer.close()
                writer = None

    await asyncio.gather(*(client() for _ in range(connections)))
    return answers / (time.perf_counter() - began), answers, bad


if __name__ == "__main__":
    print(*asyncio.run(_load(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])))
