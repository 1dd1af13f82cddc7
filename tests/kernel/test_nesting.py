"""asyncio.run and run_until_complete in a cell: for the kernel's own loop, and for no other."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest
from kernels import Kernel, kernel
from support import free_port


@pytest.fixture(scope="module")
def loaded() -> Iterator[Kernel]:
    with kernel() as running:
        running.ok("import asyncio, threading")
        yield running


def test_asyncio_run_runs_in_a_cell(loaded: Kernel) -> None:
    cell = loaded.ok("""
async def main():
    await asyncio.sleep(0.01)
    return "hecho"

asyncio.run(main())
""")
    assert cell.result == "'hecho'"


def test_timeouts_and_task_groups_work_inside_it(loaded: Kernel) -> None:
    cell = loaded.ok("""
async def slow():
    await asyncio.sleep(10)

async def main():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0.01, n)) for n in range(3)]
    try:
        await asyncio.wait_for(slow(), 0.02)
    except TimeoutError:
        return [task.result() for task in tasks]

asyncio.run(main())
""")
    assert cell.result == "[0, 1, 2]"


def test_what_it_raises_is_raised_in_the_cell(loaded: Kernel) -> None:
    cell = loaded.run("""
async def main():
    raise KeyError("ana")

asyncio.run(main())
""")
    assert cell.error == "KeyError"
    assert 'raise KeyError("ana")' in cell.traceback


def test_what_is_no_coroutine_is_refused_as_ever(loaded: Kernel) -> None:
    cell = loaded.run("asyncio.run(42)")
    assert cell.error in ("ValueError", "TypeError")
    assert "coroutine" in cell.error_text


def test_its_leftover_tasks_are_cancelled_and_awaited_and_no_others(loaded: Kernel) -> None:
    cell = loaded.ok("""
cancelled = []
async def forever(name):
    try:
        await asyncio.sleep(100)
    finally:
        await asyncio.sleep(0)
        cancelled.append(name)

async def main():
    asyncio.create_task(forever("de asyncio.run"))
    await asyncio.sleep(0)

kernels_own = asyncio.create_task(forever("del cuaderno"))
await asyncio.sleep(0)
asyncio.run(main())
cancelled
""")
    assert cell.result == "['de asyncio.run']"
    loaded.ok("kernels_own.cancel(); await asyncio.sleep(0.01)")
    assert loaded.ok("cancelled").result == "['de asyncio.run', 'del cuaderno']"


def test_its_async_generators_are_closed(loaded: Kernel) -> None:
    cell = loaded.ok("""
async def count():
    try:
        yield 1
    finally:
        print("cerrado")

async def main():
    global generator
    generator = count()
    async for _ in generator:
        break

asyncio.run(main())
print("fin")
""")
    assert cell.lines == ["cerrado", "fin"]


def test_a_leftover_task_that_fails_while_cancelled_is_reported(loaded: Kernel) -> None:
    cell = loaded.ok("""
async def stubborn():
    try:
        await asyncio.sleep(100)
    finally:
        raise ValueError("al cancelar")

async def main():
    asyncio.create_task(stubborn())
    await asyncio.sleep(0)

asyncio.run(main())
""")
    assert "unhandled exception during asyncio.run() shutdown" in cell.stderr
    assert "al cancelar" in cell.stderr


def test_debug_holds_for_the_run_only(loaded: Kernel) -> None:
    cell = loaded.ok("""
async def main():
    return asyncio.get_running_loop().get_debug()

asyncio.run(main(), debug=True), asyncio.run(main()), asyncio.get_running_loop().get_debug()
""")
    assert cell.result == "(True, False, False)"


def test_context_variables_set_inside_stay_inside(loaded: Kernel) -> None:
    cell = loaded.ok("""
import contextvars
color = contextvars.ContextVar("color", default="azul")

async def main():
    color.set("rojo")

asyncio.run(main())
color.get()
""")
    assert cell.result == "'azul'"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="loop_factory= came with Python 3.12")
def test_a_loop_factory_is_honoured(loaded: Kernel) -> None:
    cell = loaded.ok("""
made = []
def factory():
    made.append(asyncio.SelectorEventLoop())
    return made[0]

async def main():
    return asyncio.get_running_loop() is made[0]

asyncio.run(main(), loop_factory=factory), made[0].is_closed()
""")
    assert cell.result == "(True, True)"


def test_asyncio_run_inside_a_function_that_a_coroutine_called(loaded: Kernel) -> None:
    cell = loaded.ok("""
async def outer():
    return asyncio.run(asyncio.sleep(0.01, "dentro"))

asyncio.run(outer()), await outer()
""")
    assert cell.result == "('dentro', 'dentro')"


def test_the_cell_goes_on_with_await_afterwards(loaded: Kernel) -> None:
    cell = loaded.ok("""
task = asyncio.create_task(asyncio.sleep(0.03, "segundo plano"))
first = asyncio.run(asyncio.sleep(0.01, "anidada"))
first, await task, await asyncio.sleep(0.01, "normal")
""")
    assert cell.result == "('anidada', 'segundo plano', 'normal')"


def test_a_session_made_in_one_cell_can_be_used_by_asyncio_run_in_the_next(loaded: Kernel) -> None:
    loaded.ok("event = asyncio.Event(); waiting = asyncio.create_task(event.wait()); await asyncio.sleep(0)")
    cell = loaded.ok("""
async def main():
    event.set()
    return await waiting

asyncio.run(main())
""")
    assert cell.result == "True"


@pytest.mark.parametrize(
    "loop",
    [
        "loop = asyncio.get_event_loop()",
        "loop = asyncio.get_running_loop()",
        "loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop)",
    ],
)
def test_run_until_complete_as_in_old_tutorials(loaded: Kernel, loop: str) -> None:
    cell = loaded.ok(f"""
async def main():
    await asyncio.sleep(0.01)
    return asyncio.current_task() is not None

{loop}
result = loop.run_until_complete(main())
loop.close()
result
""")
    assert cell.result == "True"
    assert loaded.ok("await asyncio.sleep(0.01, 'vivo')").result == "'vivo'"


def test_a_runner_runs_in_a_cell_on_a_loop_of_its_own(loaded: Kernel) -> None:
    cell = loaded.ok("""
async def count():
    global n
    n += 1
    return n, asyncio.get_running_loop() is runner.get_loop()

n = 0
with asyncio.Runner() as runner:
    results = [runner.run(count()), runner.run(count())]
results
""")
    assert cell.result == "[(1, True), (2, True)]"
    assert loaded.ok("await asyncio.sleep(0.01, 'vivo')").result == "'vivo'"


def test_asynchronous_unit_tests_run_in_a_cell(loaded: Kernel) -> None:
    cell = loaded.ok("""
import io, unittest

class Prueba(unittest.IsolatedAsyncioTestCase):
    async def test_sleep(self):
        self.assertEqual(await asyncio.sleep(0.01, 3), 3)

suite = unittest.defaultTestLoader.loadTestsFromTestCase(Prueba)
unittest.TextTestRunner(stream=io.StringIO()).run(suite).wasSuccessful()
""")
    assert cell.result == "True"


def test_run_forever_until_stop(loaded: Kernel) -> None:
    for loop in ("asyncio.get_event_loop()", "asyncio.new_event_loop()"):
        cell = loaded.ok(f"loop = {loop}; loop.call_later(0.02, loop.stop); loop.run_forever(); print('fin')")
        assert cell.lines == ["fin"]
        assert loaded.ok("await asyncio.sleep(0.01, 'vivo')").result == "'vivo'"


def test_a_new_loop_can_also_be_run_in_a_thread(loaded: Kernel) -> None:
    cell = loaded.ok("""
loop = asyncio.new_event_loop()
thread = threading.Thread(target=loop.run_forever, daemon=True)
thread.start()
result = asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01, "hilo"), loop).result(5)
loop.call_soon_threadsafe(loop.stop)
thread.join(5)
loop.close()
result
""")
    assert cell.result == "'hilo'"


def test_an_interrupt_cleans_up_and_the_kernel_goes_on(loaded: Kernel) -> None:
    cell_id = loaded.start("""
async def main():
    try:
        print("esperando", flush=True)
        await asyncio.sleep(100)
    finally:
        await asyncio.sleep(0.01)
        print("limpio")

asyncio.run(main())
""")
    while "esperando" not in loaded.cells[cell_id].stdout:
        loaded.settle(0.05)
    loaded.settle(0.1)
    loaded.manager.interrupt_kernel()
    cell = loaded.wait(cell_id)
    assert cell.error == "KeyboardInterrupt"
    assert cell.lines == ["esperando", "limpio"]
    assert loaded.ok("asyncio.run(asyncio.sleep(0.01, 'sigue'))").result == "'sigue'"
    assert "never retrieved" not in loaded.everything()


WORK = {
    "spins": "while True:\n        await asyncio.sleep(0)",
    "computes": "while True:\n        sum(range(1000))",
    "blocks": "time.sleep(60)",
    "waits": "await asyncio.sleep(60)",
}
MAIN = {
    "gather": "await asyncio.gather(work(), work())",
    "task": "await asyncio.create_task(work())",
    "group": "async with asyncio.TaskGroup() as group:\n        group.create_task(work())",
    "itself": "await work()",
    "watched": "await asyncio.shield(asyncio.get_running_loop().create_task(watch(work())))",
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("main", MAIN)
def test_an_interrupt_of_run_until_complete_ends_the_cell_and_nothing_else(
    loaded: Kernel, main: str, work: str
) -> None:
    loaded.ok(f"""
import asyncio, time
kept = 42
running = 0
async def work():
    global running
    running += 1
    print("at work", flush=True)
    try:
        {WORK[work].replace(chr(10), chr(10) + "    ")}
    finally:
        running -= 1
async def watch(awaitable):
    return await asyncio.create_task(awaitable)
async def main():
    {MAIN[main]}
""")
    cell = loaded.start("asyncio.get_event_loop().run_until_complete(main())")
    while "at work" not in loaded.cells[cell].stdout:
        loaded.settle(0.05)
    loaded.manager.interrupt_kernel()
    assert loaded.wait(cell).error in ("KeyboardInterrupt", "CancelledError")
    loaded.ok("while running:\n    await asyncio.sleep(0.01)")
    assert loaded.ok("kept, running").result == "(42, 0)"
    assert loaded.ok("asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.01, 'sigue'))").result == (
        "'sigue'"
    )


def test_an_interrupt_that_a_task_of_an_earlier_cell_takes_ends_no_kernel(loaded: Kernel) -> None:
    """It is raised again in whatever awaits the task, on the kernel's own loop, when the cell is over."""
    loaded.ok("""
import asyncio
go = asyncio.Event()
async def spin():
    await go.wait()
    print("spinning", flush=True)
    while True:
        sum(range(1000))
async def watch(task):
    await task
spinning = asyncio.create_task(spin())
watching = asyncio.create_task(watch(spinning))
async def main():
    go.set()
    await asyncio.sleep(60)
""")
    cell = loaded.start("asyncio.get_event_loop().run_until_complete(main())")
    while "spinning" not in "".join(each.stdout for each in loaded.cells.values()):
        loaded.settle(0.05)
    loaded.manager.interrupt_kernel()
    assert loaded.wait(cell).error == "KeyboardInterrupt"
    assert loaded.ok("await asyncio.sleep(0.05); watching.done()").result == "True"


@pytest.mark.parametrize(
    "run", ["asyncio.run(main())", "asyncio.get_event_loop().run_until_complete(main())"]
)
def test_what_an_interrupted_cell_of_aiohttp_left_listening_is_closed(loaded: Kernel, run: str) -> None:
    """aiohttp's documented pattern: a runner, a site, and then wait for ever."""
    port = free_port()
    for _ in range(2):  # the cell is run again: the port is free
        cell = loaded.start(f"""
import asyncio
from aiohttp import web
async def main():
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", {port}).start()
    print("sirve", flush=True)
    while True:
        await asyncio.sleep(3600)
{run}
""")
        while "sirve" not in loaded.cells[cell].stdout:
            loaded.settle(0.05)
        loaded.manager.interrupt_kernel()
        assert loaded.wait(cell).error == "KeyboardInterrupt"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_an_exit_in_a_task_ends_the_cell_and_nothing_else(loaded: Kernel) -> None:
    cell = loaded.run("""
import asyncio, sys
async def leave():
    sys.exit(3)
async def main():
    await asyncio.create_task(leave())
asyncio.get_event_loop().run_until_complete(main())
""")
    assert cell.error == "SystemExit"
    assert loaded.ok("await asyncio.sleep(0.05); 1 + 1").result == "2"


def test_a_thread_in_a_cell_has_the_original_asyncio_run_and_its_own_loop(loaded: Kernel) -> None:
    cell = loaded.ok("""
async def main():
    return type(asyncio.get_running_loop()).__name__, hasattr(asyncio.get_running_loop(), "_nest_patched")

def in_thread():
    print(asyncio.run(main()))

thread = threading.Thread(target=in_thread); thread.start(); thread.join()
""")
    assert "False" in cell.stdout
    assert "Nested" not in cell.stdout


def test_no_server_loop_and_no_task_is_touched(loaded: Kernel) -> None:
    cell = loaded.ok("""
import _asyncio, labkit, requests
from aiohttp import web

async def who(request):
    loop = asyncio.get_running_loop()
    return web.json_response([
        type(asyncio.current_task()) is _asyncio.Task,
        asyncio.Task is _asyncio.Task, asyncio.Future is _asyncio.Future,
        hasattr(loop, "_nest_patched"), type(loop) is type(original_loop), hasattr(asyncio, "_nest_patched"),
    ])

original_loop = asyncio.Runner().get_loop()
original_loop.close()
app = web.Application()
app.router.add_get("/", who)
with labkit.serve(app, name="quien") as service:
    asyncio.run(asyncio.sleep(0.01))
    answer = requests.get(service.url).json()
answer
""")
    assert cell.result == "[True, True, True, False, True, False]"


def test_an_aiohttp_handler_may_not_call_asyncio_run_and_a_flask_handler_may(loaded: Kernel) -> None:
    cell = loaded.ok("""
import flask, labkit, requests
from aiohttp import web

app = flask.Flask("f")
@app.get("/")
def run():
    return asyncio.run(asyncio.sleep(0.01, "bien"))

async def refused(request):
    coroutine = asyncio.sleep(0)
    try:
        asyncio.run(coroutine)
    except RuntimeError as error:
        coroutine.close()
        return web.Response(text=type(error).__name__)

aio = web.Application()
aio.router.add_get("/", refused)
with labkit.serve(app, name="f") as f, labkit.serve(aio, name="a") as a:
    answers = [requests.get(each.url).text for each in (f, a)]
answers
""")
    assert cell.result == "['bien', 'RuntimeError']"


SNAPSHOT = """
import asyncio, asyncio.events, asyncio.tasks, asyncio.futures, asyncio.runners
import aiohttp.web, flask, werkzeug, werkzeug.serving, tornado.concurrent
def snapshot():
    owners = [asyncio, asyncio.events, asyncio.tasks, asyncio.futures, asyncio.runners, tornado.concurrent,
              aiohttp.web, flask.Flask, werkzeug, werkzeug.serving, asyncio.Runner,
              type(asyncio.events.get_event_loop_policy()), asyncio.SelectorEventLoop, asyncio.BaseEventLoop]
    names = {(o.__name__, n): id(v) for o in owners for n, v in vars(o).items()}
    return names | {"loop": id(type(asyncio.get_running_loop())), "user": id(globals().get("run_app"))}
def changed(before, after):
    return sorted(str(k) for k in before.keys() | after.keys() if before.get(k) != after.get(k))
"""


def test_only_these_attributes_are_replaced_and_unload_gives_back_every_one() -> None:
    with kernel(loaded=False) as fresh:
        fresh.ok(SNAPSHOT + "from aiohttp.web import run_app\nbefore = snapshot()")
        fresh.ok("%load_ext labkit")
        assert fresh.ok("print(*changed(before, snapshot()), sep='\\n')").lines == [
            "('Flask', 'run')",
            "('Runner', 'close')",
            "('Runner', 'run')",
            "('aiohttp.web', 'run_app')",
            "('asyncio', 'new_event_loop')",
            "('asyncio', 'run')",
            "('werkzeug', 'run_simple')",
            "('werkzeug.serving', 'run_simple')",
            "loop",
            "user",
        ]
        fresh.ok("from asyncio import run; asyncio.run(asyncio.sleep(0))")
        assert fresh.ok("%unload_ext labkit").stdout == ""
        assert fresh.ok("changed(before, snapshot())").result == "[]"
        cell = fresh.run("coroutine = asyncio.sleep(0); run(coroutine)")
        assert (cell.error, "running event loop" in cell.error_text) == ("RuntimeError", True)
        assert fresh.ok("coroutine.close(); await asyncio.sleep(0.01, 'vivo')").result == "'vivo'"

        # Twice is harmless, and so is a reload.
        fresh.ok("%load_ext labkit\n%load_ext labkit")
        fresh.ok("import labkit; labkit.load_ipython_extension(get_ipython())")
        fresh.ok("%reload_ext labkit")
        assert fresh.ok("asyncio.run(asyncio.sleep(0.01, 'otra vez'))").result == "'otra vez'"
        fresh.ok("%unload_ext labkit")
        fresh.ok("labkit.unload_ipython_extension(get_ipython())")
        assert fresh.ok("changed(before, snapshot())").result == "[]"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="nest_asyncio does not work there")
def test_where_the_user_applied_nest_asyncio_before_it_is_left_alone() -> None:
    with kernel(loaded=False) as fresh:
        fresh.ok(SNAPSHOT + "import nest_asyncio; nest_asyncio.apply(); before = snapshot()")
        fresh.ok("%load_ext labkit")
        assert "asyncio" not in fresh.ok("changed(before, snapshot())").result.replace("aiohttp", "")
        assert fresh.ok("asyncio.run(asyncio.sleep(0.01, 1))").result == "1"
        fresh.ok("%unload_ext labkit")
        assert fresh.ok("changed(before, snapshot())").result == "[]"
        assert fresh.ok("asyncio.run(asyncio.sleep(0.01, 1))").result == "1"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="nest_asyncio does not work there")
def test_where_the_user_applies_nest_asyncio_afterwards_cells_and_services_go_on() -> None:
    with kernel() as fresh:
        fresh.ok("import asyncio, nest_asyncio, labkit, requests; nest_asyncio.apply()")
        cell = fresh.ok("""
from aiohttp import web
async def hello(request):
    await asyncio.sleep(0.01)
    return web.Response(text="hola")
app = web.Application()
app.router.add_get("/", hello)
service = labkit.serve(app, name="hola")
requests.get(service.url).text, asyncio.run(asyncio.sleep(0.01, 1))
""")
        assert cell.result == "('hola', 1)"
        fresh.ok("%unload_ext labkit")
        assert fresh.ok("asyncio.run(asyncio.sleep(0.01, 1))").result == "1"


def test_without_a_running_loop_there_is_nothing_to_nest_and_load_works() -> None:
    """A plain IPython terminal."""
    import subprocess

    code = """
import asyncio, flask
from IPython.core.interactiveshell import InteractiveShell
shell, run, flask_run = InteractiveShell.instance(), asyncio.run, flask.Flask.run
shell.run_cell("%load_ext labkit").raise_error()
assert asyncio.run is run and flask.Flask.run is not flask_run
shell.run_cell("import asyncio; asyncio.run(asyncio.sleep(0))").raise_error()
shell.run_cell("%unload_ext labkit").raise_error()
assert flask.Flask.run is flask_run
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize(
    "nested",
    [
        "asyncio.run(asyncio.sleep(0.2))",
        "asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.2))",
        "asyncio.run(asyncio.sleep(0.1)); asyncio.run(asyncio.sleep(0.1))",
        "await asyncio.sleep(0.1); asyncio.run(asyncio.sleep(0.1))",
    ],
)
def test_the_cells_of_a_run_all_that_wait_behind_it_run_afterwards_in_order(
    loaded: Kernel, nested: str
) -> None:
    """JupyterLab sends them all at once: they reach the loop while the nested run is at work."""
    loaded.ok("seen = []")
    sent = [loaded.start(f"{nested}\nseen.append('nested')")]
    sent += [loaded.start(f"seen.append({number})") for number in range(5)]
    for message_id in sent:
        assert loaded.wait(message_id).error is None
    assert loaded.ok("seen").result == "['nested', 0, 1, 2, 3, 4]"
