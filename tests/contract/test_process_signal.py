"""The signal between an appender and its readers: an early one is kept, and each reader has its own."""

from threading import Barrier, Thread

from persistence.signals import ProcessSignal

NEVER = 10_000.0
"""Seconds; longer than a test may last."""


def test_a_signal_that_came_before_the_wait_ends_it_at_once() -> None:
    signal = ProcessSignal()
    signal.notify()
    signal.notify()
    signal.wait(NEVER)


def test_a_signal_is_told_once_to_each_thread() -> None:
    signal, waiting = ProcessSignal(), Barrier(4)

    def read() -> None:
        signal.wait(0)
        waiting.wait()
        signal.wait(NEVER)

    readers = [Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    waiting.wait()
    signal.notify()
    for reader in readers:
        reader.join(NEVER)
        assert not reader.is_alive()


def test_without_a_signal_the_time_ends_the_wait() -> None:
    signal = ProcessSignal()
    signal.notify()
    signal.wait(NEVER)
    signal.wait(0.001)
