"""The filter stops every call a rule could match: its bytes are run, not read."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.engines.notify import HANDLERS, ROLES, stopped_for
from injector.linux import seccomp
from injector.rules.decide import RulesDecider
from injector.rules.scenario.oneline import parse_rules
from injector.rules.subscribe import subscriptions
from injector.words.model import Scenario
from injector.words.syscalls import AARCH64, I386, NEVER, X86_64, Arch

from .test_decide import FakeCall, FakeTask

NOTIFY, ALLOW = 0x7FC00000, 0x7FFF0000


def filtered(program: bytes, arch: Arch, number: int, args: tuple[int, ...]) -> int:
    """Run a seccomp program on one call (linux/filter.h: the instructions libseccomp uses)."""
    data = struct.pack("=iIQ6Q", number, arch.audit, 0, *args)
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = accumulator = 0
    for _ in range(len(code) + 1):
        what, yes, no, k = code[at]
        at += 1
        match what:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, k)[0]
            case 0x54:
                accumulator &= k
            case 0x05:
                at += k
            case 0x06:
                return k
            case 0x15:
                at += yes if accumulator == k else no
            case 0x25:
                at += yes if accumulator > k else no
            case 0x35:
                at += yes if accumulator >= k else no
            case _:
                raise AssertionError(f"instruction {what:#x}")
    raise AssertionError("no return")


def program(*rules: str, always: tuple[str, ...] = ("execve",)) -> bytes:
    return seccomp.build(
        subscriptions([one.match for one in parse_rules(rules)], always, (X86_64, I386))
    )


words = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 8192), st.sampled_from([0o100, 0o101]))
RULES = (
    "openat:args.flags=O_CREAT:error=EACCES",
    'openat:args.flags="O_CREAT|O_EXCL":error=EACCES',
    "openat:args.flags=!O_CREAT:error=EACCES",
    "openat:args.dirfd=AT_FDCWD:error=EACCES",
    'openat:args.flags=O_WRONLY:args.mode="<=0o644":error=EACCES',
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(RULES), min_size=1, max_size=3),
    st.tuples(words, words, words, words, words, words),
)
def test_what_a_rule_matches_is_stopped(rules: list[str], args: tuple[int, ...]) -> None:
    code = program(*rules)
    decides = RulesDecider(Scenario(parse_rules(rules)), 1)
    wanted = decides.decide(FakeCall("openat", FakeTask(), args=args)) is not None
    stopped = filtered(code, X86_64, X86_64.numbers["openat"], args) == NOTIFY
    assert stopped or not wanted


@settings(max_examples=100, deadline=None)
@given(st.tuples(words, words, words, words, words, words))
def test_the_kernel_decides_alone_what_it_can(args: tuple[int, ...]) -> None:
    code = program('write:args.count=">4096":error=EIO')
    stopped = filtered(code, X86_64, X86_64.numbers["write"], args) == NOTIFY
    assert stopped == (args[2] >= 4097)


@pytest.mark.parametrize("name", ["getppid", "read", "execve", "mmap", "clone3"])
def test_only_what_is_named_is_stopped(name: str) -> None:
    code = program("read,mmap:error=EIO")
    for arch, wanted in ((X86_64, {"read", "mmap", "execve"}), (I386, {"read", "mmap", "execve"})):
        got = filtered(code, arch, arch.numbers[name], (0,) * 6)
        assert got == (NOTIFY if name in wanted else ALLOW)


def test_other_architectures_go_their_way() -> None:
    code = program("read:error=EIO")
    assert filtered(code, AARCH64, X86_64.numbers["read"], (0,) * 6) == ALLOW
    x32 = X86_64.numbers["read"] | 0x40000000
    assert filtered(code, X86_64, x32, (0,) * 6) == ALLOW
    # 80 is chdir on x86_64 and getgroups on i386: the number alone means nothing.
    chdir = program("chdir:error=EIO")
    assert filtered(chdir, X86_64, 80, (0,) * 6) == NOTIFY
    assert filtered(chdir, I386, 80, (0,) * 6) == ALLOW
    assert filtered(chdir, I386, I386.numbers["chdir"], (0,) * 6) == NOTIFY


def test_every_call_at_once() -> None:
    code = program("all:delay=1ms")
    for arch in (X86_64, I386):
        for name, number in arch.numbers.items():
            wanted = ALLOW if name in NEVER else NOTIFY
            assert filtered(code, arch, number, (0,) * 6) == wanted, name


def handlers(*rules: str, watched: tuple[str, ...] = (), wanted: bool = True) -> tuple[bool, bool]:
    """Return whether rt_sigaction stops that sets an action, and one that only asks for it."""
    scenario = Scenario(parse_rules(rules))
    code = seccomp.build(stopped_for(scenario, watched, (X86_64, I386), handlers=wanted).calls)
    number = X86_64.numbers["rt_sigaction"]
    found = [filtered(code, X86_64, number, (10, act, 0, 8, 0, 0)) for act in (1 << 40, 0)]
    return found[0] == NOTIFY, found[1] == NOTIFY


def test_handlers_are_learned_of_where_a_call_may_be_made_again() -> None:
    assert handlers("read:error=EIO") == (True, False)
    assert handlers("getppid:error=EIO") == (False, False)
    assert handlers("getppid:error=EIO", watched=("write",)) == (True, False)
    assert handlers("read:error=EIO", wanted=False) == (False, False)
    one = "rt_sigaction:args.signum=SIGUSR2:error=EINVAL"
    for rules in ((one,), (one, "read:error=EIO")):
        assert handlers(*rules) == (True, True)
    assert HANDLERS.isdisjoint(ROLES)
    scenario = Scenario(parse_rules(["read:error=EIO"]))
    stopped = stopped_for(scenario, (), (X86_64, I386), handlers=True)
    assert HANDLERS.isdisjoint(stopped.named) and not stopped.tells_handlers
