"""`make bench`: labkit against its peers, side by side, as ratios.

The machine may be busy with other things, so nobody is measured alone: the contestants take turns, round
by round and in alternating order, a ratio is taken within each round, and the median of the ratios is what
counts. Times in the tables are medians too. Nothing here fails for being slow; the exit code is 0 unless
something breaks.

    make bench
    make bench ARGS="--quick"
    make bench ARGS="start throughput"
    make bench ARGS=peers
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import breaker
import bulkhead
import contestants
import event_sourcing
import lens
import load
import load_generator
import peers
import proxies
import psutil
import reactive
import requests
import saga
import tracing
from contestants import ANSWER, Contestant
from tables import Aim, Values, brief, print_row, print_table, take_turns

HERE = Path(__file__).parent


@dataclass
class Effort:
    """How much is measured: rounds of each section, and seconds of each round of load.

    `crowds`: rounds in which each peer starts hundreds of services.
    """

    lives: int
    processes: int
    loads: int
    load_seconds: int
    imports: int
    crowds: int


THOROUGH = Effort(lives=15, processes=5, loads=15, load_seconds=1, imports=15, crowds=2)
QUICK = Effort(lives=5, processes=2, loads=3, load_seconds=1, imports=5, crowds=1)


# Lives: from the start to the first answer, and the stop


@dataclass
class Life:
    """Milliseconds: until the first answer, until `stop` returns, and until the port can be bound again."""

    first_answer: float
    stop: float
    port_free: float


def live(make: Callable[[], Contestant]) -> Life:
    contestant = make()
    began = time.perf_counter()
    url = contestant.start()
    answer = requests.get(url + "/", timeout=10)
    answered = time.perf_counter()
    assert answer.text == ANSWER, answer.text

    stopping = time.perf_counter()
    contestant.stop()
    stopped = time.perf_counter()
    wait_until_bindable(int(url.rpartition(":")[2]))
    free = time.perf_counter()
    return Life(1e3 * (answered - began), 1e3 * (stopped - stopping), 1e3 * (free - stopping))


def wait_until_bindable(port: int) -> None:
    while True:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.0005)
        else:
            return


LIVES: dict[str, type[Contestant]] = {
    "labkit, Flask": contestants.LabkitFlask,
    "make_server in a thread": contestants.BareWerkzeug,
    "pytest-httpserver": contestants.PytestHttpserver,
    "labkit, aiohttp": contestants.LabkitAiohttp,
    "AppRunner in a thread": contestants.BareAiohttp,
}


def measure_lives(effort: Effort) -> dict[str, list[Life]]:
    lives: dict[str, list[Life]] = {name: [] for name in [*LIVES, "flask run"]}
    for make in LIVES.values():  # the first of each pays for imports
        live(make)
    for number in range(effort.lives):
        field = list(LIVES.items())
        if number < effort.processes:
            field.append(("flask run", contestants.FlaskRun))
        for name, make in field if number % 2 == 0 else reversed(field):
            lives[name].append(live(make))
    return lives


def bench_start(lives: dict[str, list[Life]]) -> None:
    values = {name: [life.first_answer for life in of_one] for name, of_one in lives.items()}
    print_table(
        "Start to first answer (ratio: time of labkit / time of the other)",
        "ms",
        values,
        [
            ("labkit, Flask", "make_server in a thread", Aim(1.5)),
            ("labkit, Flask", "pytest-httpserver", None),
            ("labkit, Flask", "flask run", None),
            ("labkit, aiohttp", "AppRunner in a thread", Aim(1.5)),
        ],
    )


def bench_stop(lives: dict[str, list[Life]]) -> None:
    for title, values in {
        "Stop": {name: [life.stop for life in of_one] for name, of_one in lives.items()},
        "Stop until the port can be bound again": {
            name: [life.port_free for life in of_one] for name, of_one in lives.items()
        },
    }.items():
        print_table(
            f"{title} (ratio: time of the other / time of labkit)",
            "ms",
            values,
            [
                ("labkit, Flask", "pytest-httpserver", Aim(20, at_least=True)),
                ("labkit, Flask", "make_server in a thread", None),
                ("labkit, Flask", "flask run", None),
                ("labkit, aiohttp", "pytest-httpserver", Aim(20, at_least=True)),
                ("labkit, aiohttp", "AppRunner in a thread", None),
            ],
            over=True,
        )


# Throughput


LOADED = {
    "labkit, Flask": "LabkitFlask",
    "make_server, log off": "BareWerkzeug",
    "make_server, log to /dev/null": "LoggingWerkzeug",
    "labkit, aiohttp": "LabkitAiohttp",
    "AppRunner, access_log=None": "BareAiohttp",
    "AppRunner, log to /dev/null": "LoggingAiohttp",
}


@contextmanager
def process_of(*arguments: str) -> Iterator[tuple[psutil.Process, str]]:
    """A contestant in a process of its own; gives the process and the (last) URL."""
    command = [sys.executable, str(HERE / "contestants.py"), *arguments]
    number = int(arguments[1]) if len(arguments) > 1 else 1
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        urls = [process.stdout.readline().strip() for _ in range(number)]
        try:
            if not all(urls):
                raise RuntimeError(f"{' '.join(command)} did not start")
            yield psutil.Process(process.pid), urls[-1]
        finally:
            process.stdin.close()  # it ends when its input does


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def bench_throughput(effort: Effort) -> None:
    cpu: Values = {name: [] for name in LOADED}
    with ExitStack() as stack:
        measures = {}
        for name, contestant in LOADED.items():
            process, url = stack.enter_context(process_of(contestant))
            load.requests_per_second(url + "/", 1)

            def measure(name: str = name, process: psutil.Process = process, url: str = url) -> float:
                before = cpu_seconds(process)
                rate, answers = load.requests_per_second(url + "/", effort.load_seconds)
                cpu[name].append(1e6 * (cpu_seconds(process) - before) / answers)
                return rate

            measures[name] = measure
        rates = take_turns(effort.loads, measures)
    generator = "wrk" if load.WRK else "tests/bench/load.py (wrk is not installed)"
    rows = [
        ("labkit, Flask", "make_server, log off"),
        ("labkit, Flask", "make_server, log to /dev/null"),
        ("labkit, aiohttp", "AppRunner, access_log=None"),
        ("labkit, aiohttp", "AppRunner, log to /dev/null"),
    ]
    print_table(
        f"Requests per second, journal on; {generator}, {load.CONNECTIONS} connections "
        "(ratio: rate of labkit / rate of the other)",
        "1/s",
        rates,
        [(one, other, Aim(0.95, at_least=True)) for one, other in rows],
    )
    print_table(
        "The same load, processor time of the server for a request (ratio: other / labkit; less shaken by "
        "what else the machine does)",
        "µs",
        cpu,
        [(one, other, None) for one, other in rows],
        over=True,
    )


# Import and idle cost


def bench_import(effort: Effort) -> None:
    def timed(code: str) -> Callable[[], float]:
        def measure() -> float:
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            return 1e3 * (time.perf_counter() - began)

        return measure

    programs = ["pass", "import labkit", "import labkit; labkit.serve"]
    values = take_turns(effort.imports, {code: timed(code) for code in programs})
    print("\n## Import, added to a bare interpreter\n")
    print_row("program", "ms", "added ms", "aim", "")
    print_row("---", "---:", "---:", "---:", "---")
    for code in programs:
        added = median(value - bare for value, bare in zip(values[code], values["pass"], strict=True))
        aim = Aim(100) if code == "import labkit" else None
        verdict = aim.judge(added) if aim else "for information"
        print_row(f"`{code}`", f"{median(values[code]):.1f}", f"{added:.1f}", str(aim or ""), verdict)


def bench_idle() -> None:
    number, seconds = 100, 3.0
    field = {
        "labkit, Flask": "LabkitFlask",
        "labkit, aiohttp": "LabkitAiohttp",
        "make_server in a thread": "BareWerkzeug",
        "AppRunner in a thread": "BareAiohttp",
    }
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(process_of(who, str(number)))[0] for name, who in field.items()
        }
        before = {name: cpu_seconds(process) for name, process in processes.items()}
        time.sleep(seconds)  # all of them at the same time: they do nothing
        after = {name: cpu_seconds(process) for name, process in processes.items()}
        memory = {name: process.memory_info().rss / 2**20 for name, process in processes.items()}
        threads = {name: process.num_threads() for name, process in processes.items()}
    print(f"\n## {number} idle services, {seconds:g} s (for information)\n")
    print_row("what", "processor ms", "threads", "resident MiB")
    print_row("---", "---:", "---:", "---:")
    for name in field:
        spent = 1e3 * (after[name] - before[name])
        print_row(name, f"{spent:.0f}", str(threads[name]), f"{memory[name]:.0f}")


# The lens


def bench_lens(effort: Effort) -> None:
    cpu: Values = {}
    with lens.all_of_them(effort.load_seconds, 150 * effort.load_seconds, cpu) as measures:
        served, asked = (take_turns(effort.loads, measures[key]) for key in ("served", "asked"))

    def rows(*, aims: bool) -> list[tuple[str, str, Aim | None]]:
        found: list[tuple[str, str, Aim | None]] = []
        for name in lens.NAMES.values():
            never = f"{name}, {lens.NEVER}"
            observing = Aim(0.6, at_least=True) if name == "Flask" else None
            for state, aim in ((lens.BEFORE, Aim(0.97, at_least=True)), (lens.OBSERVING, observing)):
                found.append((f"{name}, {state}", never, aim if aims else None))
        return found

    print_table(
        f"The lens: requests per second, each of them observed; {load.CONNECTIONS} connections "
        "(ratio: rate of the one / rate of the other)",
        "1/s",
        served,
        rows(aims=True),
    )
    print_table(
        "The same load, processor time of the server for a request (ratio: other / one; less shaken by what "
        "else the machine does)",
        "µs",
        cpu,
        rows(aims=True),
        over=True,
    )
    print_table(
        "The lens: calls per second, asked with requests and served in one process "
        "(ratio: rate of the one / rate of the other)",
        "1/s",
        asked,
        rows(aims=False),
    )


def bench_load_generator(effort: Effort) -> None:
    with load_generator.all_of_them(effort.load_seconds) as measures:
        rates = take_turns(effort.loads, measures)
    from_outside = load_generator.FROM_OUTSIDE
    rows = [load_generator.LABKIT, load_generator.AIOHTTP, load_generator.ELSEWHERE]
    print_table(
        f"Load generators on one aiohttp service, {load.CONNECTIONS} connections; the first two run in its "
        "process, as in a notebook (ratio: rate of the one / rate of the other)",
        "1/s",
        rates,
        [(one, from_outside, None) for one in rows] + [(load_generator.LABKIT, load_generator.AIOHTTP, None)],
    )
    aim, values = Aim(load_generator.AIM, at_least=True), sorted(rates[load_generator.LABKIT])
    low, high = values[len(values) // 4], values[-1 - len(values) // 4]
    print(f"\n{load_generator.LABKIT}: {brief(median(values))} requests/s; aim {aim}:", end=" ")
    print(aim.judge(median(values), low, high), flush=True)


# Patterns


def bench_breaker(effort: Effort) -> None:
    calls, rounds = 20_000 * effort.load_seconds, effort.loads
    against_pybreaker = [
        (breaker.LABKIT, breaker.PYBREAKER, Aim(1)),
        (breaker.COUNT, breaker.PYBREAKER, None),
        (breaker.TIME, breaker.PYBREAKER, None),
        (breaker.SLOW, breaker.PYBREAKER, None),
        (breaker.LABKIT, breaker.CIRCUITBREAKER, None),
        (breaker.LABKIT, breaker.BARE, None),
    ]
    print_table(
        "A call through the closed breaker (ratio: time of the one / time of the other)",
        "µs",
        take_turns(rounds, breaker.single(calls)),
        against_pybreaker,
    )
    print_table(
        f"The same, {breaker.THREADS} threads",
        "µs",
        take_turns(rounds, breaker.shared(calls)),
        against_pybreaker,
    )
    print_table(
        f"{breaker.AT_ONCE} calls of {breaker.NAP} s at once (ratio: time of the one / time of the other)",
        "s",
        take_turns(effort.processes, breaker.overlapping()),
        [
            (breaker.LABKIT, breaker.PYBREAKER, Aim(0.15)),
            (breaker.LABKIT, breaker.CIRCUITBREAKER, None),
            (breaker.LABKIT, breaker.BARE, Aim(1.1)),
        ],
    )


def bench_bulkhead(effort: Effort) -> None:
    calls, rounds = 10_000 * effort.load_seconds, effort.loads
    ratio = "(ratio: time of the one / time of the other)"
    free, threads, few = bulkhead.THREADS, bulkhead.THREADS, bulkhead.FEW
    for title, measures in {
        f"A call through a bulkhead, one thread {ratio}": bulkhead.threaded(calls, 1, free),
        f"The same, {threads} threads, {free} permits": bulkhead.threaded(calls, threads, free),
        f"The same, {threads} threads, {few} permits: most have to wait": bulkhead.threaded(
            calls, threads, few
        ),
    }.items():
        rows: list[tuple[str, str, Aim | None]] = [
            (one, bulkhead.SEMAPHORE, None) for one in (bulkhead.WITH, bulkhead.CALL, bulkhead.HEARD)
        ]
        rows.append((bulkhead.CALL, bulkhead.BARE, None))
        print_table(title, "µs", take_turns(rounds, measures), rows)
    tasks = bulkhead.TASKS
    for title, measures in {
        f"A call through a bulkhead, one task {ratio}": bulkhead.in_tasks(calls, 1, free),
        f"The same, {tasks} tasks, {few} permits: most have to wait": bulkhead.in_tasks(calls, tasks, few),
    }.items():
        rows = [
            (one, other, None)
            for one in (bulkhead.AWITH, bulkhead.ACALL)
            for other in (bulkhead.ASYNCIO, bulkhead.BOUNDED, bulkhead.ANYIO, bulkhead.BARE)
        ]
        print_table(title, "µs", take_turns(rounds, measures), rows)
    print_table(
        f"A task through a pool of four {ratio}",
        "µs",
        take_turns(rounds, bulkhead.pooled(calls // 5)),
        [(bulkhead.POOL, bulkhead.EXECUTOR, None)],
    )


def bench_events(effort: Effort) -> None:
    ours, theirs = event_sourcing.OURS, event_sourcing.THEIRS
    rounds = effort.imports
    for place, in_memory in (("in memory", True), ("in a file", False)):
        with event_sourcing.Field(in_memory=in_memory) as field:
            sections = {
                f"Appends of one event, {place}": field.appends(200, 1),
                f"Appends of {event_sourcing.BATCH} events, {place}": field.appends(20, event_sourcing.BATCH),
                f"Replay in the global order, {place}": field.replays(5000),
                f"Replay of a stream of {event_sourcing.BATCH}, {place}": field.stream_replays(50),
            }
            for title, measures in sections.items():
                rows = [(ours, theirs, Aim(1, at_least=True))]
                print_table(
                    f"{title} (ratio: events per second)", "per s", take_turns(rounds, measures), rows
                )
    bench_event_growth(1_000_000 if effort is THOROUGH else 100_000)


def bench_event_growth(most: int) -> None:
    """How an append and a read grow with the store: the median of 200 of each, at its end."""
    print("\n## How the event store grows\n")
    print_row("events", "append, µs", "of theirs", "read of one among the last 1000, µs", "of theirs")
    print_row("---:", "---:", "---:", "---:", "---:")
    ours, theirs = event_sourcing.OURS, event_sourcing.THEIRS
    for place, in_memory in (("in memory", True), ("in a file", False)):
        with event_sourcing.Field(in_memory=in_memory) as field:
            for size in [size for size in event_sourcing.SIZES if size <= most]:
                field.grow(size)
                appends, reads = field.at_its_end(size, 200)
                numbers = [brief(of[name]) for of in (appends, reads) for name in (ours, theirs)]
                print_row(f"{size:,} {place}", *numbers)


def bench_tracing(effort: Effort) -> None:
    print_table(
        "Tracing, for a request that makes one call; no network (ratio: time of the one / time of the other)",
        "µs",
        take_turns(effort.loads, tracing.measures(2000 * effort.load_seconds)),
        [
            (tracing.OURS, tracing.THEIRS, Aim(1)),
            (tracing.OURS_OFF, tracing.THEIRS_OFF, Aim(1)),
            (tracing.OURS, tracing.BARE, None),
            (tracing.OURS_OFF, tracing.BARE, None),
        ],
    )


# Proxies


def bench_proxies(effort: Effort) -> None:
    with proxies.all_of_them() as contestants:
        for what, each in proxies.measures(contestants, effort.load_seconds).items():
            aims: list[tuple[str, str, Aim | None]] = [
                (one, proxies.PLAIN, Aim(proxies.AIM)) for one in (proxies.BARE, proxies.FULL, proxies.EDGE)
            ]
            peers_ = [(proxies.PLAIN, name, None) for name in (proxies.DIRECT, proxies.NGINX) if name in each]
            values = take_turns(effort.loads, each)
            print_table(f"A request through a proxy: {what}", "ms", values, [*aims, *peers_])
        print_row(f"megabytes with {proxies.CROWD} open connections", "before", "then")
        print_row("---", "---:", "---:")
        for name, (url, process) in contestants.items():
            before, then = proxies.memory_of_a_crowd(url, process)
            print_row(name, f"{before:.0f}", f"{then:.0f}")


def bench_reactive(effort: Effort) -> None:
    items, rounds = 20_000 * effort.load_seconds, effort.loads
    ratio = "(ratio: rate of the one / rate of the other)"
    for title, measures in {
        f"Items through map, filter, map, take and groups of ten {ratio}": reactive.chains(items),
        "The same behind a bounded queue": reactive.buffered(items),
        "Deliveries of one stream to many readers": reactive.crowds(20 * effort.load_seconds),
    }.items():
        own, *others = measures
        print_table(title, "1/s", take_turns(rounds, measures), [(own, other, None) for other in others])


def bench_sagas(effort: Effort) -> None:
    ratio = "(ratio: time of the one / time of the other)"
    with saga.contestants(20 * effort.load_seconds) as measures:
        turns = take_turns(effort.processes, measures)
        print_table(f"A saga of three steps {ratio}", "ms", turns, [(saga.LABKIT, saga.DBOS_, Aim(1))])
    few, many = 1_000, 100_000 if effort is THOROUGH else 10_000
    with saga.grown(few, many, 20 * effort.load_seconds) as measures:
        one, other, once, again = measures
        print_table(
            f"The same in a log that holds many, and what recovery asks of it {ratio}",
            "ms",
            take_turns(effort.processes, measures),
            [(other, one, Aim(1.5)), (again, once, Aim(1.5))],
        )


# Peers


def bench_peers(effort: Effort) -> None:
    found = peers.measure(
        lives=effort.lives,
        loads=2 * effort.crowds,
        load_seconds=effort.load_seconds,
        tens=effort.processes,
        climbs=effort.crowds,
    )
    generator = "wrk" if load.WRK else "tests/bench/load.py (wrk is not installed)"
    print("\n## The peers, each in a Jupyter kernel of its own\n")
    print(", ".join(f"{name} {found_version(name)}" for name in ("flask", "dash", "uvicorn", "a2wsgi")) + ".")
    print(
        "start: to the first answer. stop: until it has returned and a connection is refused, after a life of"
    )
    print(f"up to half a second. 1/s: requests per second at so many connections, {generator}.")
    print(
        f"MiB: growth with {peers.CROWD} services, each asked once; processes: {peers.FEW} of them, times",
        end=" ",
    )
    print(f"{peers.CROWD / peers.FEW:g}, what they share counted once.")
    print("In brackets: ratio to labkit, round by round; ~: its middle half is wider than a quarter of it.\n")
    columns = {
        "start, ms": found.start,
        "stop, ms": found.stop,
        **{f"1/s at {number}": rates for number, rates in found.rates.items()},
        f"MiB, {peers.CROWD} services": found.memory,
    }
    print_row("who", *columns)
    print_row("---", *("---:" for _ in columns))
    for name in peers.FIELD:
        if name in found.absent:
            print_row(name, f"cannot run here: {found.absent[name]}", *([""] * (len(columns) - 1)))
        else:
            print_row(name, *(beside_labkit(name, values) for values in columns.values()))

    print("\n## Start of the n-th service, to its first answer, the others running (ms)\n")
    print_row("who", *(f"n = {step}" for step in peers.STEPS), "last / first")
    print_row("---", *("---:" for _ in peers.STEPS), "---:")
    for name in peers.FIELD:
        if name in found.absent:
            continue
        steps = [found.climbs[step].get(name) for step in peers.STEPS]
        known = [values for values in steps if values]
        growth = median(last / first for first, last in zip(known[0], known[-1], strict=True))
        cells = [brief(median(values)) if values else "not tried" for values in steps]
        print_row(name, *cells, f"{brief(growth)}")
    print(
        f"\nEach time is a median of the n-th and of {peers.AROUND} on each side of it; the last is the last",
        end=" ",
    )
    print(f"that was tried: no more than {peers.FEW} processes, whose number is a matter of memory.")
    print(f"Descriptors for each kernel: {found.descriptors or 'no limit'}.")

    rows: list[tuple[str, str, Aim | None]] = [
        (peers.LABKIT_PROCESS, peers.FLASK_RUN, Aim(1.3)),
        (peers.TEN_LABKIT, peers.TEN_FLASK, Aim(1.3)),
        (peers.TEN_LABKIT, peers.ONE_LABKIT, Aim(10)),
        (peers.TEN_FLASK, peers.ONE_FLASK, None),
    ]
    print_table(
        "Start of processes, to the first answer of all (ratio: time of the one / time of the other)",
        "ms",
        found.start,
        [row for row in rows if not {row[0], row[1]} & set(found.absent)],
    )


def beside_labkit(name: str, values: Values) -> str:
    ratios = sorted(a / b for a, b in zip(values[name], values[peers.LABKIT], strict=True))
    middle = median(ratios)
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    unclear = "~" if high - low > 0.25 * middle else ""
    return f"{brief(median(values[name]))} ({brief(middle)}{unclear})"


def found_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


SECTIONS = [
    "start",
    "stop",
    "throughput",
    "import",
    "idle",
    "lens",
    "load",
    "breaker",
    "bulkhead",
    "tracing",
    "events",
    "proxies",
    "reactive",
    "saga",
    "peers",
]


def main() -> None:
    parser = argparse.ArgumentParser(description="labkit against its peers, as ratios")
    parser.add_argument("sections", nargs="*", help=f"which of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few rounds: a first impression")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    chosen = options.sections or SECTIONS
    effort = QUICK if options.quick else THOROUGH

    began = time.monotonic()
    versions = ", ".join(f"{name} {version(name)}" for name in ("werkzeug", "aiohttp", "pytest-httpserver"))
    print(
        f"# labkit and its peers\n\nPython {platform.python_version()}, {versions}, {os.cpu_count()} cores."
    )
    print("Medians of rounds in which all take turns; each ratio is the median of the rounds' own ratios.")
    if {"start", "stop"} & set(chosen):
        lives = measure_lives(effort)
        if "start" in chosen:
            bench_start(lives)
        if "stop" in chosen:
            bench_stop(lives)
    if "throughput" in chosen:
        bench_throughput(effort)
    if "import" in chosen:
        bench_import(effort)
    if "idle" in chosen:
        bench_idle()
    if "lens" in chosen:
        bench_lens(effort)
    if "load" in chosen:
        bench_load_generator(effort)
    if "breaker" in chosen:
        bench_breaker(effort)
    if "bulkhead" in chosen:
        bench_bulkhead(effort)
    if "tracing" in chosen:
        bench_tracing(effort)
    if "events" in chosen:
        bench_events(effort)
    if "proxies" in chosen:
        bench_proxies(effort)
    if "reactive" in chosen:
        bench_reactive(effort)
    if "saga" in chosen:
        bench_sagas(effort)
    if "peers" in chosen:
        bench_peers(effort)
    print(f"\n{time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
