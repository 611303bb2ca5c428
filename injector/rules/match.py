"""A Match compiled to tests of one Call, the cheapest first. Pure: tests never count.

Each test carries the word of the scenario it stands for, so that a rule that
never fired can say which of its words nothing satisfied.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from injector.rules.globs import matcher
from injector.words.call import Address, Call
from injector.words.model import (
    AddressPattern,
    ArgPattern,
    FdSet,
    Globs,
    Masked,
    Match,
    Range,
)
from injector.words.syscalls import Arch, signature

Predicate = Callable[[Call], bool]


class Test(NamedTuple):
    """One condition of a rule: the scenario's key, the predicate, and what it asks for."""

    key: str
    holds: Predicate
    text: str


def signed(value: int, bits: int, is_signed: bool) -> int:
    """Return a register as a parameter of `bits` width reads it."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if is_signed and value >> (bits - 1) else value


def _argument(pattern: ArgPattern) -> Predicate:
    places: dict[tuple[Arch, str], tuple[int, int, bool] | None] = {}

    def place(arch: Arch, name: str) -> tuple[int, int, bool] | None:
        found = signature(name, arch)
        index = found.index(pattern.parameter) if found else None
        if found is None or index is None:
            return None
        parameter = found.parameters[index]
        return index, min(parameter.bits, arch.bits), parameter.signed

    def holds(call: Call) -> bool:
        key = (call.arch, call.name)
        if key not in places:
            places[key] = place(*key)
        where = places[key]
        if where is None:
            return False
        index, bits, is_signed = where
        raw = call.args[index] & ((1 << bits) - 1)
        value = signed(raw, bits, is_signed)
        for test in pattern.tests:
            match test:
                case Masked(mask, wanted, negated):
                    cut = mask & ((1 << bits) - 1)
                    if ((raw & cut) == wanted & ((1 << bits) - 1)) is negated:
                        return False
                case Range():
                    if value not in test:
                        return False
        return True

    return holds


def _fd(wanted: FdSet, call: Call) -> bool:
    for fd in call.fds():
        if any(fd in numbers for numbers in wanted.ranges):
            return True
        if wanted.kinds and fd >= 0 and call.fd_kind(fd) in wanted.kinds:
            return True
    return False


def _address(patterns: tuple[AddressPattern, ...]) -> Predicate:
    def compiled(pattern: AddressPattern) -> Callable[[Address], bool]:
        if pattern.unix is not None:
            unix = matcher(Globs((pattern.unix,)))
            return lambda address: address.unix is not None and unix(address.unix)
        network = ipaddress.ip_network(pattern.network, strict=False) if pattern.network else None
        ports = pattern.ports

        def holds(address: Address) -> bool:
            if address.unix is not None or (ports is not None and address.port not in ports):
                return False
            if network is None:
                return True
            host = ipaddress.ip_address(address.host)
            mapped = getattr(host, "ipv4_mapped", None)
            return (mapped or host) in network or host in network

        return holds

    tests = tuple(compiled(pattern) for pattern in patterns)
    return lambda call: any(test(one) for one in call.addresses() for test in tests)


def _globs(read: Callable[[Call], tuple[str, ...]], globs: Globs) -> Predicate:
    include = matcher(Globs(globs.include))
    exclude = matcher(Globs(globs.exclude)) if globs.exclude else None

    def holds(call: Call) -> bool:
        texts = read(call)
        if not any(include(text) for text in texts):
            return False
        return exclude is None or not any(exclude(text) for text in texts)

    return holds


def _process(globs: Globs) -> Predicate:
    """Name and executable are compared as paths are, the command line as a line of words."""
    named, called = matcher(Globs(globs.include)), matcher(Globs(globs.include), line=True)
    not_named = matcher(Globs(globs.exclude))
    not_called = matcher(Globs(globs.exclude), line=True)

    def holds(call: Call) -> bool:
        *names, line = call.process_names()
        if not called(line) and not any(map(named, names)):
            return False
        return not globs.exclude or not (not_called(line) or any(map(not_named, names)))

    return holds


def example(key: str, call: Call) -> str:
    """Return what a call that one word of a scenario turned away had in its place."""
    match key:
        case "path":
            return ", ".join(call.paths())
        case "process":
            return call.process_names()[0]
        case "thread":
            return call.thread_name()
        case "caller":
            return next(iter(call.callers()), "")
        case "fd":
            return ", ".join(f"{fd} ({call.fd_kind(fd) or 'not open'})" for fd in call.fds())
        case "address":
            ends = call.addresses()
            return ", ".join(end.unix or f"{end.host}:{end.port}" for end in ends)
        case _:
            return ""


def compile_match(match: Match) -> tuple[Test, ...]:
    """Return the tests of a Match, all of which must hold.

    The syscall and the start-up shield are the caller's: they cost no look at the target.
    """
    tests: list[Test] = []
    site = match.site
    if site is not None and site.onward:  # the decider looks the others up
        first = site.number
        tests.append(Test("site", lambda call: call.task.calls[call.name] >= first, str(site)))
    for pattern in match.args:
        tests.append(Test("args", _argument(pattern), pattern.text))
    if match.fd is not None:
        tests.append(Test("fd", partial(_fd, match.fd), match.fd.text))
    if match.thread is not None:
        read = _globs(lambda call: (call.thread_name(),), match.thread)
        tests.append(Test("thread", read, str(match.thread)))
    if match.process is not None:
        tests.append(Test("process", _process(match.process), str(match.process)))
    if match.path is not None:
        tests.append(Test("path", _globs(lambda call: call.paths(), match.path), str(match.path)))
    if match.address:
        text = ", ".join(pattern.text for pattern in match.address)
        tests.append(Test("address", _address(match.address), text))
    if match.caller is not None:
        read = _globs(lambda call: call.callers(), match.caller)
        tests.append(Test("caller", read, str(match.caller)))
    return tuple(tests)
