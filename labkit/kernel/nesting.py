"""asyncio.run() and loop.run_until_complete() in a cell, where the kernel's loop is already running.

A cell runs inside the kernel's own event loop, and asyncio refuses to run a loop inside another. Two
cases are made to work, for the kernel's thread only:

- the kernel's own loop can be run again from inside: `asyncio.run(main())`,
  `asyncio.get_event_loop().run_until_complete(…)`. nest_asyncio does that. Its `apply()` would also turn
  every task of the process into a slow Python one and patch the class of every loop, the services'
  loops included; so the kernel's loop first gets a class of its own, and only that class is patched.
- a new loop (`asyncio.new_event_loop()`, `asyncio.Runner`, `loop_factory=`) runs with the kernel's loop
  set aside. That needs no nest_asyncio.

A service's thread and its loop see none of this: `asyncio.run` there is the original.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from types import CodeType, FrameType
from typing import Any, TypeVar

from labkit.kernel import messages
from labkit.traces import is_library

if sys.version_info >= (3, 14):
    import nest_asyncio2 as nest_asyncio
else:
    import nest_asyncio

T = TypeVar("T")


class NestedRun:
    """The tasks and generators of one asyncio.run() on the kernel's loop, to be cleaned up at its end."""

    def __init__(self) -> None:
        self.tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self.asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self.servers: weakref.WeakSet[asyncio.Server] = weakref.WeakSet()

    def close_servers(self) -> None:
        """Close the servers that would answer on: those of asyncio.run end with its loop."""
        for server in list(self.servers):
            server.close()


# Inherited by every task that a run creates: whose task it is, is known by it.
_CURRENT_RUN: contextvars.ContextVar[NestedRun | None] = contextvars.ContextVar(
    "labkit_nested_run", default=None
)


def already_nested() -> bool:
    """Return True where the user has applied nest_asyncio: then it does all this already."""
    return hasattr(asyncio, "_nest_patched")


class KernelLoop:
    """The kernel's running loop, made able to run again from inside a cell until `restore`."""

    def __init__(self, loop: asyncio.BaseEventLoop) -> None:
        self.loop = loop
        self._original_class = type(loop)
        loop.__class__ = _kernel_loop_class(self._original_class)
        # Not apply(): see the module's docstring. This patches type(loop), which nobody else has.
        nest_asyncio._patch_loop(loop)
        _hold_back_what_cannot_run(type(loop))

    def restore(self) -> None:
        """Give the loop its own class back; nested, if the user has applied nest_asyncio since."""
        self.loop.__class__ = self._original_class
        if already_nested():
            nest_asyncio._patch_loop(self.loop)

    def runs_here(self) -> bool:
        """Return True in a cell: the running loop is known by thread."""
        return asyncio._get_running_loop() is self.loop

    def set_aside_for(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return `original` for cells: while it lasts, the kernel's loop is set aside."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with set_aside(self.loop) if self.runs_here() else contextlib.nullcontext():
                return original(*args, **kwargs)

        return call

    def asyncio_run(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return the asyncio.run that cells call; elsewhere it is the original."""

        def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None, **loop_factory: Any) -> Any:
            own_loop = loop_factory.get("loop_factory") is not None
            if self.runs_here() and asyncio.iscoroutine(main) and not own_loop:
                return run_nested(self.loop, main, debug=debug)
            return self.set_aside_for(original)(main, debug=debug, **loop_factory)

        return run

    def asyncio_new_event_loop(
        self, original: Callable[[], asyncio.AbstractEventLoop]
    ) -> Callable[[], asyncio.AbstractEventLoop]:
        """Return the asyncio.new_event_loop that cells call; elsewhere it is the original."""

        def new_event_loop() -> asyncio.AbstractEventLoop:
            loop = original()
            if self.runs_here() and isinstance(loop, asyncio.BaseEventLoop):
                loop.__class__ = _cell_loop_class(type(loop), self.loop)
            return loop

        return new_event_loop


def run_nested(
    loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T], *, debug: bool | None = None
) -> T:
    """Run `main` to its end on the running `loop` and keep the promises of asyncio.run.

    Whatever way `main` ends, an interrupt included, the tasks that it left are cancelled and awaited, and
    its asynchronous generators closed; the loop's other tasks go on. Unlike asyncio.run's, the loop and
    its executor of threads live on: they are the kernel's.
    """
    run = NestedRun()
    context = contextvars.copy_context()
    context.run(_CURRENT_RUN.set, run)
    debug_before, hooks_before = loop.get_debug(), sys.get_asyncgen_hooks()
    if debug is not None:
        loop.set_debug(debug)
    # The hooks in force are the ones of the loop's class before it was ours.
    sys.set_asyncgen_hooks(firstiter=loop._asyncgen_firstiter_hook)  # type: ignore[attr-defined]
    task = loop.create_task(main, context=context)
    try:
        return loop.run_until_complete(task)
    finally:
        try:
            _cancel_tasks(loop, [left for left in run.tasks if not left.done()])
            _close_asyncgens(loop, list(run.asyncgens))
            run.close_servers()
        finally:
            if task.done() and not task.cancelled():
                task.exception()  # seen: it was raised, or an interrupt was raised in its place
            sys.set_asyncgen_hooks(*hooks_before)
            loop.set_debug(debug_before)


@contextlib.contextmanager
def set_aside(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Set the running loop and the current task of this thread aside for a while.

    asyncio keeps both in one place per thread; since Python 3.14 the current task as well.
    """
    task = asyncio.current_task(loop)
    if task is not None:
        asyncio.tasks._leave_task(loop, task)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
        if task is not None:
            asyncio.tasks._enter_task(loop, task)


def _kernel_loop_class(base: type[Any]) -> type[Any]:
    """Return a subclass of the kernel loop's class, which nest_asyncio may patch."""

    class NestedKernelLoop(base):  # type: ignore[misc]
        def create_task(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
            task: asyncio.Task[Any] = super().create_task(*args, **kwargs)
            context = kwargs.get("context")
            run = _CURRENT_RUN.get() if context is None else context.get(_CURRENT_RUN)
            if run is not None:
                run.tasks.add(task)
            return task

        async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
            server: asyncio.Server = await super().create_server(*args, **kwargs)
            run = _CURRENT_RUN.get()
            if run is not None:
                run.servers.add(server)
            return server

        def _asyncgen_firstiter_hook(self, asyncgen: AsyncGenerator[Any, Any]) -> None:
            run = _CURRENT_RUN.get()
            if run is not None:
                run.asyncgens.add(asyncgen)
            super()._asyncgen_firstiter_hook(asyncgen)

        def close(self) -> None:
            # The old tutorials' last line, after run_until_complete: here it would end the kernel.
            if not self.is_running():
                super().close()

    return NestedKernelLoop


def _hold_back_what_cannot_run(cls: type[Any]) -> None:
    """Hold back, in a nested run, what cannot run inside the running cell, until the cell is done.

    And let no interrupt of a cell reach the kernel.

    ipykernel runs the messages of its shell channel in one contextvars.Context, and a context cannot be
    entered twice. With Run All the next cells wait in the loop's queue while this one runs; nest_asyncio
    would take them out, fail with "cannot enter context", and they would never run.
    """
    run_once, run_until_complete = cls._run_once, cls.run_until_complete
    nested = run_until_complete.__code__

    def _run_once(self: Any) -> None:
        _put_back(self)
        if self._num_runs_pending > 1:
            held = [handle for handle in self._ready if _is_entered(handle._context)]
            if held:
                self._held_back = held
                free = [handle for handle in self._ready if handle not in held]
                self._ready.clear()
                self._ready.extend(free)
        try:
            run_once(self)
        except (KeyboardInterrupt, SystemExit) as error:
            if getattr(self, "_num_runs_pending", 1) > 1:
                raise
            # Of a cell that is over: a task took it, and whatever awaits that task is given it again. No
            # interrupt comes here by itself: ipykernel lets none through outside of cells.
            if isinstance(error, SystemExit):
                self.call_exception_handler({"message": messages.EXIT_IN_TASK, "exception": error})
        if getattr(self, "_interrupted", False):  # a cell that unloads gives the loop its class back
            self._interrupted = False
            raise KeyboardInterrupt

    def complete(self: Any, future: Any) -> Any:
        run = NestedRun()
        token = _CURRENT_RUN.set(run) if _CURRENT_RUN.get() is None else None
        try:
            with _interrupting_only_cells(self, nested):
                return run_until_complete(self, future)
        except (KeyboardInterrupt, SystemExit):
            _cancel_tasks(self, [left for left in run.tasks if not left.done()])
            run.close_servers()
            raise
        finally:
            if token is not None:
                _CURRENT_RUN.reset(token)
            _put_back(self)

    cls._held_back = []
    cls._interrupted = False
    cls._run_once = _run_once
    cls.run_until_complete = complete


@contextlib.contextmanager
def _interrupting_only_cells(loop: Any, nested: CodeType) -> Iterator[None]:
    """Raise an interrupt where the cell's code runs, or between two steps; never in the kernel's own code.

    A nested run also runs what the kernel has to do, which would be left half done.
    """
    usual = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not usual:
        yield
        return

    def interrupt(_: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code is not nested:
            if not is_library(frame.f_code.co_filename):
                raise KeyboardInterrupt
            frame = frame.f_back
        loop._interrupted = True
        loop._write_to_self()  # ends its wait, and touches nothing that may be in use here

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loop._interrupted = False


def _put_back(loop: Any) -> None:
    held, loop._held_back = loop._held_back, []
    loop._ready.extendleft(reversed(held))


def _is_entered(context: contextvars.Context) -> bool:
    try:
        context.run(int)
    except RuntimeError:
        return True
    return False


def _cell_loop_class(base: type[Any], outer: asyncio.AbstractEventLoop) -> type[Any]:
    """Return a subclass whose loops run in a cell as if the kernel's loop `outer` were not running."""

    def aside() -> contextlib.AbstractContextManager[None]:
        # The loop may well be run from another thread, where nothing is in its way.
        return set_aside(outer) if asyncio._get_running_loop() is outer else contextlib.nullcontext()

    class CellLoop(base):  # type: ignore[misc]
        def run_forever(self) -> None:
            with aside():
                super().run_forever()

        def run_until_complete(self, future: Any) -> Any:
            with aside():
                return super().run_until_complete(future)

    return CellLoop


def _cancel_tasks(loop: asyncio.AbstractEventLoop, tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel `tasks`, await them, report the ones that failed: what asyncio.run does at its end."""
    if not tasks:
        return
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler(
                {
                    "message": "unhandled exception during asyncio.run() shutdown",
                    "exception": error,
                    "task": task,
                }
            )


def _close_asyncgens(loop: asyncio.AbstractEventLoop, asyncgens: list[AsyncGenerator[Any, Any]]) -> None:
    if not asyncgens:
        return

    async def close() -> list[BaseException | None]:
        return await asyncio.gather(*[agen.aclose() for agen in asyncgens], return_exceptions=True)

    for asyncgen, error in zip(asyncgens, loop.run_until_complete(close()), strict=True):
        if isinstance(error, Exception):
            loop.call_exception_handler(
                {
                    "message": f"an error occurred during closing of asynchronous generator {asyncgen!r}",
                    "exception": error,
                    "asyncgen": asyncgen,
                }
            )
