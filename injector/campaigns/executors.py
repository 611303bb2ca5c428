"""Where runs are made: processes of this machine, or a Dask cluster; both speak Executor.

Each gives Futures of concurrent.futures, so a campaign does not know which it has.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from injector import __version__
from injector.campaigns.hand import Hand
from injector.campaigns.trial import Bench
from injector.words.errors import InjectError

T = TypeVar("T")

_AHEAD = 2  # runs that a hand is given before it has made the first of them


class Hands(Executor):
    """Hands of this machine, each served by two threads: what is next lies ready for it."""

    def __init__(self, count: int) -> None:
        self._hands = [Hand() for _ in range(count)]  # the one that was at work last is first
        self._load = dict.fromkeys(self._hands, 0)
        self._eased = threading.Condition()
        self._threads = ThreadPoolExecutor(_AHEAD * count, "hand")

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have a hand call the function, its bench as last argument."""
        return self._threads.submit(self._do, functools.partial(fn, *args, **kwargs))

    def _do(self, work: Callable[[Bench], T]) -> T:
        with self._eased:
            while True:
                # Who was at work last has ready what the next run needs.
                hand = min(self._hands, key=self._load.__getitem__)
                if self._load[hand] < _AHEAD:
                    break
                self._eased.wait()
            self._load[hand] += 1
            self._hands.remove(hand)
            self._hands.insert(0, hand)
        try:
            return hand.do(work)
        finally:
            with self._eased:
                self._load[hand] -= 1
                self._eased.notify()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the hands; what they are at is given up with `cancel_futures`."""
        self._threads.shutdown(wait and not cancel_futures, cancel_futures=cancel_futures)
        for hand in self._hands:
            hand.dismiss(now=cancel_futures)
        with contextlib.ExitStack() as each:
            each.callback(self._threads.shutdown, wait)
            for hand in self._hands:
                each.callback(hand.close)


@functools.cache
def _hand_of(thread: int) -> Hand:
    return Hand()


def apart(work: Callable[[Bench], T]) -> T:
    """Call a function in a hand of this thread: a worker's threads make no runs themselves."""
    return _hand_of(threading.get_ident()).do(work)


class Cluster(Executor):
    """The workers of a Dask cluster."""

    def __init__(self, address: str) -> None:
        """Connect.

        Raises:
            InjectError: dask is not installed, nobody answers, or a worker has another version.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise InjectError(
                "--cluster needs dask", help="pip install 'syscall-inject[cluster]'"
            ) from error
        try:
            self._client = Client(address, timeout=10, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise InjectError(
                f"no scheduler of a Dask cluster answers at {address}",
                help="dask scheduler shows its address when it starts, as tcp://10.0.0.1:8786",
            ) from error
        try:
            self.count = self._require_workers(address)
        except BaseException:
            self._client.close()
            raise
        self._executor = self._client.get_executor(pure=False, retries=2)

    def _require_workers(self, address: str) -> int:
        workers = self._client.nthreads()
        if not workers:
            raise InjectError(
                f"the cluster at {address} has no workers", help=f"dask worker {address}"
            )
        ours = version()
        try:
            versions: dict[str, str] = self._client.run(version)
        except Exception as error:
            raise InjectError(
                f"the workers of {address} cannot load inject: {error}",
                help="install the same version of inject where they run",
            ) from error
        for worker, theirs in versions.items():
            if theirs != ours:
                raise InjectError(
                    f"worker {worker} has inject {theirs}, we are {ours}",
                    help="install the same version everywhere",
                )
        return sum(workers.values())

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have a worker call the function, a bench as last argument."""
        future: Future[T] = self._executor.submit(apart, functools.partial(fn, *args, **kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which runs on."""
        self._executor.shutdown(wait=wait and not cancel_futures)
        self._client.close()


Runner: TypeAlias = Hands | Cluster


def version() -> str:
    """Return the version of inject that is asked."""
    return __version__


@contextmanager
def executor(jobs: int | None, cluster: str | None) -> Iterator[tuple[Runner, int]]:
    """Yield an Executor, and how many runs it makes at a time.

    Args:
        jobs: processes of this machine, None for one on each core.
        cluster: a Dask scheduler's address instead.
    """
    if cluster is not None:
        found = Cluster(cluster)
        made: tuple[Runner, int] = (found, jobs or found.count)
    else:
        count = jobs or len(os.sched_getaffinity(0))
        made = (Hands(count), count)
    try:
        yield made
    except BaseException:
        made[0].shutdown(cancel_futures=True)
        raise
    made[0].shutdown()


def shard_of(key: str, count: int) -> int:
    """Return the part, from 1, that a run belongs to: the same wherever it is asked."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count + 1
