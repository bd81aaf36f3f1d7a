import asyncio
from threading import Thread

import pytest

from tocsin.guard._sleepers import SleepingTask, SleepingThread, wake_all

LONG_S = 30.0


def test_a_thread_sleeps_until_it_is_woken_or_the_time_is_over() -> None:
    sleeper = SleepingThread()
    assert not sleeper.sleep(0)
    Thread(target=sleeper.wake).start()
    assert sleeper.sleep(float("inf"))


def test_a_task_sleeps_until_it_is_woken_or_the_time_is_over() -> None:
    async def main() -> None:
        assert not await SleepingTask().sleep(0)
        assert not await SleepingTask().sleep_on(0)
        for sleep in (SleepingTask.sleep, SleepingTask.sleep_on):
            sleeper = SleepingTask()
            Thread(target=sleeper.wake).start()
            assert await sleep(sleeper, LONG_S)

    asyncio.run(main())


def test_waking_reaches_threads_and_the_tasks_of_every_loop_that_is_left() -> None:
    async def made() -> SleepingTask:
        return SleepingTask()

    async def sleeps(woken: list[bool]) -> None:
        thread, mine, other = SleepingThread(), SleepingTask(), asyncio.run_coroutine_threadsafe(made(), loop).result()
        wake_all([dead, thread, mine, other])
        woken.append(thread.sleep(LONG_S))
        woken.append(await mine.sleep(LONG_S))
        woken.append(asyncio.run_coroutine_threadsafe(other.sleep(LONG_S), loop).result())

    dead = asyncio.run(made())
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    woken: list[bool] = []
    asyncio.run(sleeps(woken))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert woken == [True, True, True]
    with pytest.raises(RuntimeError, match="closed"):
        dead.wake()


def test_a_cancellation_that_cannot_be_followed_is_followed_at_the_next_await() -> None:
    async def main() -> None:
        reached: list[str] = []
        sleeper = SleepingTask()

        async def sleeps() -> None:
            assert await sleeper.sleep_on()
            reached.append("its end")
            await asyncio.sleep(0)
            reached.append("more")

        task = asyncio.create_task(sleeps())
        for _ in range(2):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        sleeper.wake()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reached == ["its end"]

    asyncio.run(main())
