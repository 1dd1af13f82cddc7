"""Tasks that never outlive the block that started them.

Not asyncio.TaskGroup: a generator may not yield inside one (PEP 789), because the group cancels the task that
happens to read the generator. Here a failure travels through the buffer, as a signal in its place.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the coroutines as tasks for the length of a block."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        await stop(tasks)


async def stop(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel the tasks and return when none of them runs, even if this call is cancelled meanwhile."""
    interrupted: asyncio.CancelledError | None = None
    for task in tasks:
        task.cancel()
    while left := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            interrupted = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen: nobody is told of it any more
    if interrupted is not None:
        raise interrupted


async def pump(
    upstream: AsyncGenerator[T, None],
    deliver: Callable[[T], Awaitable[object]],
    finish: Callable[[BaseException | None], object],
) -> None:
    """Hand each item to `deliver` and the end, or the error, to `finish`; then the source is closed."""
    error: BaseException | None = None
    try:
        async with aclosing(upstream):
            async for item in upstream:
                await deliver(item)
    except BaseException as failure:
        error = failure
        if not isinstance(failure, Exception):  # cancelled: by our reader, or by the source itself
            raise
    finally:
        finish(error)
