"""Clocks that jump: the wall clock set an hour back or forward hurts nobody.

Everything that lasts is measured with clocks that only go forward (`monotonic`, `perf_counter`); the wall
clock says when something was, and nothing else. Here it jumps in the middle of everything: what Python reads
of it, and, where a C compiler is there, what the whole process sees, C libraries included.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from support import KINDS, PATIENCE, Raw, Stage, build, eventually, get, no_file_is_written

import labkit

# OpenTelemetry keeps the time_ns that it finds when it is loaded: that should be the real one.
from labkit.lens import telemetry  # noqa: F401
from labkit.patterns.bulkhead import Bulkhead
from labkit.patterns.circuit_breaker import CircuitBreaker
from labkit.patterns.discovery import DiscoveryClient, Registration, Registry, registry_app

HOUR = 3600.0
LABKIT = Path(labkit.__file__).parent
_SHIM = os.environ.get("TESTS_CLOCK_SHIM")  # set in the process whose libraries see the clock jump
_real_time, _real_time_ns = time.time, time.time_ns

every_kind = pytest.mark.parametrize("kind", KINDS)
both_ways = pytest.mark.parametrize("by", [-HOUR, HOUR], ids=["back", "forward"])


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Set the wall clock by so many seconds."""
    if _SHIM is not None:
        set_clock = ctypes.CDLL(_SHIM).set_clock

        def set_system(by: float) -> None:
            set_clock(ctypes.c_long(int(by)))

        before = time.time()
        set_system(HOUR)
        assert time.time() - before > HOUR - 60, "the shim does nothing"
        set_system(0)
        yield set_system
        set_system(0)
        return
    offset = [0.0]
    monkeypatch.setattr(time, "time", lambda: _real_time() + offset[0])
    monkeypatch.setattr(time, "time_ns", lambda: _real_time_ns() + int(offset[0] * 1e9))

    def set_python(by: float) -> None:
        offset[0] = by

    yield set_python


@every_kind
@both_ways
def test_a_request_lasts_as_long_as_it_lasts(
    kind: str, by: float, stage: Stage, jump: Callable[[float], None]
) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service, Raw(service) as raw:
        raw.ask("/wait")
        stage.wait_entered()
        jump(by)
        stage.release.set()
        raw.read_until(b"done")
        (request,) = service.journal.requests
        eventually(lambda: request.duration is not None)
        assert 0 <= request.duration < PATIENCE


@every_kind
@both_ways
def test_faults_strike_and_end_as_they_should(
    kind: str, by: float, stage: Stage, jump: Callable[[float], None]
) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        for inject in (
            lambda: service.faults.delay(0.1),
            lambda: service.faults.error(503),
        ):
            with inject(), Raw(service) as raw:
                raw.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                jump(by)
                assert raw.read_to_end().startswith(b"HTTP/1.1 ")
            jump(0)
        with service.faults.drop(), Raw(service) as raw:
            jump(by)
            raw.ask()
            assert raw.read_to_end() == b""
        jump(0)
        with Raw(service) as raw:
            with service.faults.hang():
                raw.ask()
                eventually(lambda: service.journal.counts["requests"] == 4)
                jump(by)
            raw.read_until(b"hola")
        eventually(lambda: all(each.duration is not None for each in service.journal.requests))
        durations = [each.duration for each in service.journal.requests]
        assert all(0 <= duration < PATIENCE for duration in durations)  # type: ignore[operator]
        assert durations[0] >= 0.09  # type: ignore[operator]


@both_ways
@every_kind
def test_a_drop_met_while_the_clock_jumps_lasts_no_negative_time(
    kind: str, by: float, stage: Stage, jump: Callable[[float], None]
) -> None:
    """A drop that hangs first: the clock jumps between arrival and end."""
    with labkit.serve(build(kind, stage), name="tienda") as service:
        with service.faults.hang() as hang, service.faults.drop(), Raw(service) as raw:
            raw.ask()
            eventually(lambda: service.journal.counts["requests"] == 1)
            jump(by)
            hang.clear()
            assert raw.read_to_end() == b""
        (request,) = service.journal.requests
        assert request.duration is not None
        assert 0 <= request.duration < PATIENCE


@every_kind
@both_ways
def test_a_stop_gives_its_grace_and_no_more(
    kind: str, by: float, stage: Stage, jump: Callable[[float], None]
) -> None:
    service = labkit.serve(lambda: build(kind, stage), name="tienda")
    with Raw(service) as raw:
        raw.ask("/wait")
        stage.wait_entered()
        began = time.monotonic()
        stopping = threading.Thread(target=service.stop, args=(0.2,))
        stopping.start()
        jump(by)
        stopping.join(PATIENCE)
        assert not stopping.is_alive()
        assert time.monotonic() - began < 10
    assert service.state == "detenido"
    service.start()
    get(service.url)
    service.stop()


@both_ways
@pytest.mark.parametrize(
    "how", [{"requests": 200}, {"duration": 0.5}, {"rate": 400, "duration": 0.5}], ids=str
)
def test_a_load_measures_and_ends_right(
    how: dict[str, Any], by: float, stage: Stage, jump: Callable[[float], None]
) -> None:
    with labkit.serve(build("aiohttp", stage), name="tienda") as service:

        def set_clock() -> None:
            eventually(lambda: service.journal.counts["requests"] > 0)
            jump(by)

        setting = threading.Thread(target=set_clock)
        setting.start()
        result = labkit.load(service, concurrency=8, **how)
        setting.join()
    assert result.counts == {"200": len(result)}
    assert len(result) > 0
    assert all(0 <= latency < PATIENCE for latency in result.latencies)
    assert 0 < result.elapsed < PATIENCE


@both_ways
def test_a_journey_has_its_times_in_order(by: float, stage: Stage, jump: Callable[[float], None]) -> None:
    with (
        labkit.serve(build("flask", stage), name="a") as a,
        labkit.serve(build("aiohttp", stage), name="b") as b,
    ):
        with labkit.observe() as journey:
            requests.get(a.url, timeout=PATIENCE)
            jump(by)
            with labkit.observe() as inner:
                requests.get(b.url, timeout=PATIENCE)
    assert repr(inner).splitlines() == ["cliente", "└─ GET b / → 200"]
    assert repr(journey).splitlines() == ["cliente", "├─ GET a / → 200", "└─ GET b / → 200"]
    assert [span.name for span in journey.spans].count("labkit.observe") == 2
    moments = [moment for span in journey.spans for moment in (span.start_time, span.end_time)]
    assert max(moments) - min(moments) < PATIENCE * 1e9
    assert all(span.start_time <= span.end_time for span in journey.spans)


@both_ways
def test_waiting_takes_as_long_as_it_takes(by: float, jump: Callable[[float], None]) -> None:
    def in_a_moment(ready: threading.Event) -> None:
        threading.Timer(0.05, jump, [by]).start()
        threading.Timer(0.15, ready.set).start()

    ready = threading.Event()
    in_a_moment(ready)
    assert labkit.eventually(ready.is_set, PATIENCE)
    jump(0)
    ready = threading.Event()
    in_a_moment(ready)
    assert labkit.run(labkit.aeventually(ready.is_set, PATIENCE))
    for wait in (
        lambda: labkit.eventually(lambda: False, 0.2),
        lambda: labkit.run(labkit.aeventually(lambda: False, 0.2)),
        lambda: labkit.run(asyncio.sleep(PATIENCE), timeout=0.2),
    ):
        jump(0)
        threading.Timer(0.05, jump, [by]).start()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            wait()
        assert 0.15 < time.monotonic() - began < 10


@both_ways
def test_leases_last_and_watches_end(by: float, stage: Stage, jump: Callable[[float], None]) -> None:
    registry = Registry(ttl=30)
    with (
        labkit.serve(lambda: registry_app(registry), name="registro") as home,
        labkit.serve(build("flask", stage), name="tienda") as shop,
        Registration(home.url, "tienda", shop.url, instance_id="t-1", interval=0.05),
        DiscoveryClient(home.url) as client,
    ):
        eventually(lambda: registry.instances("tienda"))
        registry.register("quieta", shop.url, instance_id="q-1")  # renewed by nobody
        assert client.get("tienda", "/").text == "hola"
        jump(by)
        assert not registry.evict().evicted
        assert 0 < registry.lease_left("quieta", "q-1") <= 30
        assert all(0 <= age < 30 for age in registry.lease_age("quieta", "q-1"))
        assert client.get("tienda", "/").text == "hola"
        index = registry.index("quieta")
        began = time.monotonic()
        registry.watch("quieta", index=index, wait=0.1)
        assert time.monotonic() - began < 10
        renewed = registry.lease_left("tienda", "t-1")
        eventually(lambda: registry.lease_left("tienda", "t-1") > renewed - 1)
        applications = get(f"{home.url}/eureka/apps", headers={"Accept": "application/json"}).text
        stamps = [int(stamp) / 1000 for stamp in re.findall(r'Timestamp"\s*:\s*"?(\d{13})', applications)]
        assert all(abs(stamp - time.time()) < 60 for stamp in stamps)  # told by the clock as it is now


@both_ways
def test_a_breaker_stays_open_and_opens_again_in_time(by: float, jump: Callable[[float], None]) -> None:
    slow, quick = (
        CircuitBreaker("a", fail_threshold=1, reset_timeout=60),
        CircuitBreaker("b", fail_threshold=1, reset_timeout=0.1),
    )
    for breaker in (slow, quick):
        with pytest.raises(ZeroDivisionError):
            breaker.call(lambda: 1 / 0)
    jump(by)
    assert slow.state == "open"
    assert 50 < (slow.retry_after or 0) <= 60
    eventually(lambda: not quick.retry_after)
    assert quick.call(lambda: "bien") == "bien"
    assert quick.state == "closed"


@both_ways
def test_a_bulkhead_waits_as_long_as_it_says(by: float, jump: Callable[[float], None]) -> None:
    bulkhead = Bulkhead(1, max_wait=0.2)
    with bulkhead:
        threading.Timer(0.05, jump, [by]).start()
        began = time.monotonic()
        outcome: list[BaseException] = []

        def wait() -> None:
            try:
                bulkhead.call(print)
            except Exception as error:
                outcome.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(PATIENCE)
        assert len(outcome) == 1
        assert 0.15 < time.monotonic() - began < 10
    patient = Bulkhead(1, max_wait=PATIENCE)
    with patient:
        waiting = threading.Thread(target=patient.call, args=(int,))
        waiting.start()
        eventually(lambda: patient.waiting == 1)
        jump(-by)
        assert patient.waiting == 1
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def waits_in_short_sleeps() -> None:
    """For ever; and it can be stopped, so that nothing of it is left."""
    while True:
        time.sleep(0.01)


@both_ways
def test_a_check_has_its_deadline_and_a_file_is_written(
    by: float, tmp_path: Path, jump: Callable[[float], None]
) -> None:
    from labkit.exercises.deadline import call_with_deadline

    began = time.monotonic()
    jump(by)
    call_with_deadline(waits_in_short_sleeps, 0.2)
    assert time.monotonic() - began < 10
    journal = labkit.Journal(name="x")
    file = journal.write_to(tmp_path / "x.log")
    assert file is not None
    journal.note("uno")
    jump(0)
    journal.note("dos")
    assert file.flush()
    assert len((tmp_path / "x.log").read_text().splitlines()) == 2
    no_file_is_written()


def test_every_use_of_the_wall_clock_is_one_that_says_when() -> None:
    """Where labkit reads it. A new place is judged, and noted here: it says when, never how long.

    Not in the lessons, which speak of tokens that expire at some hour, and of answers that look at the clock;
    and not a clock that is an argument, which tests wind by hand.
    """
    found = sorted(
        f"{path.relative_to(LABKIT).as_posix()}: {line.strip()}"
        for path in LABKIT.rglob("*.py")
        if "lessons" not in path.parts
        for line in path.read_text("utf-8").splitlines()
        if re.search(
            r"\btime\.time(_ns)?\(|factory=time\.time\b|\bdatetime\.(now|utcnow|today)\b|\blocaltime\(|\bgmtime\(",
            line,
        )
    )
    assert found == [
        # when the entry was noted
        "entries.py: time: float = field(default_factory=time.time, compare=False)",
        "journal.py: noted: Noted = [method, path, None, time.time(), None, ()]",
        # once for each trace: all its spans are that and what perf_counter has run since
        "lens/telemetry.py: started, now = time.perf_counter(), time.time_ns()",
        # Eureka tells moments; they are made of ages, when asked
        "patterns/discovery/eureka.py: "
        "registered, renewed = (int((time.time() - age) * 1000) for age in ages)",
        # an id that begins with the moment it was made (RFC 9562)
        "patterns/event_sourcing/event.py: milliseconds = time.time_ns() // 1_000_000",
        # when the entry was noted, in a process of its own
        "servers/child.py: return [method, path, None, time.time(), None, (), next(self._numbers)]",
    ]


# What libraries see: libc's functions, an hour off. libfaketime would be the known way, but with it Python's
# sleep, which names a moment of the monotonic clock, fails (EINVAL).
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static volatile long ahead;
void set_clock(long seconds) { ahead = seconds; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += ahead;
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void) zone;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *seconds) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (seconds) *seconds = exact.tv_sec;
    return exact.tv_sec;
}
"""


@pytest.mark.soak
@pytest.mark.skipif(_SHIM is not None, reason="this is that process")
@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="Linux and a C compiler")
def test_the_same_where_the_whole_process_sees_the_clock_jump(tmp_path: Path) -> None:
    shim = tmp_path / "clock.so"
    compiler = subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", str(shim), "-x", "c", "-", "-ldl"], input=SHIM, text=True
    )
    if compiler.returncode:
        pytest.skip("the C compiler does not work here")
    environment = {**os.environ, "LD_PRELOAD": str(shim), "TESTS_CLOCK_SHIM": str(shim)}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout[-5000:]
