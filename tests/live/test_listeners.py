"""The listener's end of a filter, where the kernel says more than that a call waits."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator

import pytest

from injector.linux.ending import callers
from injector.linux.seccomp import Listener, Listeners, deserted
from injector.linux.slate import Slate


@contextlib.contextmanager
def in_error() -> Iterator[socket.socket]:
    """A descriptor of which poll(2) says POLLERR until SO_ERROR is read, as of a listener whose
    look a signal interrupted."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as refuses:
            refuses.bind(("127.0.0.1", 0))
            one.connect(refuses.getsockname())
        one.send(b"nobody is there")
        poll = select.poll()
        poll.register(one, 0)
        assert poll.poll(10_000) == [(one.fileno(), select.POLLERR)]
        yield one


def test_an_interrupted_look_is_no_end() -> None:
    with in_error() as one:
        assert not deserted(one.fileno(), 0)
        assert not deserted(one.fileno(), 0.01)


def test_a_hang_up_is() -> None:
    read, write = os.pipe()
    os.close(write)
    assert deserted(read, 10)
    assert list(callers([read])) == []
    os.close(read)


def test_a_listener_in_error_stays_among_the_others() -> None:
    read, write = os.pipe()
    slate = Slate()
    with in_error() as one:
        both = Listeners([Listener(one.fileno(), slate, 0), Listener(read, slate, 1)])
        for _ in range(3):
            with pytest.raises(InterruptedError):
                both.receive()
        os.close(write)  # one ends
        one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        with pytest.raises(FileNotFoundError):
            both.receive()
    os.close(read)


def test_the_keeper_goes_on_to_listen() -> None:
    read, write = os.pipe()
    os.write(write, b"x")
    with in_error() as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        found = callers([one.fileno(), read])
        assert next(found) == read
        os.close(write)
        os.read(read, 1)
        one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        other.bind(one.getpeername())
        other.sendto(b"a call", one.getsockname())
        assert next(found) == one.fileno()
    os.close(read)
