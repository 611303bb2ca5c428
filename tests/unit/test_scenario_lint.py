"""Warnings for what is allowed yet likely not meant, and rules told in plain English."""

import pytest

from injector.rules.scenario.lint import explain, lint
from injector.rules.scenario.load import load_text
from injector.rules.scenario.oneline import parse_rules
from injector.words.model import Scenario
from injector.words.syscalls import NEVER, RISKY, native

X86 = pytest.mark.skipif(native().name != "x86_64", reason="open is no system call elsewhere")


def warnings(*texts: str) -> list[str]:
    return [one.message for one in lint(Scenario(parse_rules(texts)))]


@pytest.mark.parametrize(
    "text",
    [
        "write,pwrite64:error=ENOSPC:when=3+:probability=5%",
        "%open:error=EMFILE:probability=1%",
        "error=EMFILE",
        "*:error=ENOMEM@9,ENFILE@1",
        "connect:address=:443:error=ECONNREFUSED",
        "read:delay=10ms",
        "read:short=50%",
        "write:error=ENOSYS",
        "close:error=EIO",
        "read:error=EINTR:when=3",
        "read:error=EINTR:limit=3",
        "read:error=EINTR:probability=50%",
        "read:error=EINTR:when=1+2",
        "read:error=EINTR:until=1s",
        "chdir:retval=0",
    ],
)
def test_nothing_to_say(text: str) -> None:
    assert warnings(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fsync:error=EMFILE", "fsync cannot fail with EMFILE by its manual page; there: "),
        ("futex:error=EAGAIN:when=1", f"futex: {RISKY['futex']}"),
        ("%desc,futex:delay=1s:error=EIO", f"futex: {RISKY['futex']}"),
        ("clone3,%fork:error=ENOSYS", f"clone3: {RISKY['clone3']}"),
        ("close:error=EIO:call=skip", f"close: {RISKY['close']}"),
        (
            "clock_gettime:error=EINVAL",
            "clock_gettime: programs answer this without entering the kernel",
        ),
        ("read:error=EINTR", "EINTR every time: a program that tries again does so for ever"),
        ("read:error=EINTR,EAGAIN:when=3+", "EINTR or EAGAIN every time"),
        ("%open:retval=3", "the program gets descriptor 3, which is not its own"),
        ("mmap:retval=0", "mmap: the program gets an address where nothing is mapped"),
        ("read:retval=10", "read: the program takes 10 bytes for read that nobody wrote"),
        ("close:retval=0", "close: the descriptor stays open (it leaks)"),
        ("inject=chdir:retval=-5", "retval -5 is error EIO to the program; say error=EIO"),
        ("read:delay=1s:probability=0", "probability 0: the rule never fires"),
        ("read:delay=1s:limit=0", "limit 0: the rule never fires"),
        ("read:delay=1s:after=2s:until=1s", "after 2s and until 1s: the rule never fires"),
        ("getpid:path=/x:delay=1s", "path: getpid has none, so the rule never matches"),
        ("getpid:fd=0:delay=1s", "fd: getpid has none, so the rule never matches"),
        ("getpid:address=:1:delay=1s", "address: getpid has none, so the rule never matches"),
        ("write,fsync:args.count=1:delay=1s", "args: fsync has no parameter count: never matches"),
        ("%desc:error=EBADF", "close is left out of the set"),
        ("error=EIO", "close can fail so too; it is left out"),
        ("mmap2:delay=1s", "mmap2 is no system call of"),
        ("accept4:error=EMFILE", "%accept is all of them"),
        ("renameat2:error=EIO", "%rename is all of them"),
    ],
)
def test_one_warning(text: str, expected: str) -> None:
    assert any(expected in message for message in warnings(text)), warnings(text)


@X86
def test_variants() -> None:
    (message,) = warnings("openat:error=EMFILE")
    assert message == (
        "openat: programs may use open, openat2, creat for the same; %open is all of them"
    )
    # what another rule covers is not missed
    assert warnings("openat:error=EMFILE", "open,openat2,creat:error=EMFILE") == []
    assert (
        "umount is no system call of x86_64, only of other architectures; did you mean 'umount2'?"
        in warnings("umount:delay=1s")
    )


@pytest.mark.parametrize(
    ("first", "second", "shadowed"),
    [
        ("read:error=EIO", "read:error=EBADF", True),
        ("read,write:error=EIO", "read:error=EBADF:when=3", True),
        ("read:error=EIO:path=/x", "read:error=EBADF:path=/x", True),
        ("read:error=EIO", "read:error=EBADF:path=/x", True),
        ("read:error=EIO:path=/x", "read:error=EBADF", False),
        ("read:error=EIO", "read,write:error=EBADF", False),
        ("read:error=EIO:when=3", "read:error=EBADF", False),
        ("read:error=EIO:probability=5%", "read:error=EBADF", False),
        ("read:error=EIO:limit=1", "read:error=EBADF", False),
        ("read:error=EIO:until=1s", "read:error=EBADF", False),
        ("read:error=EIO", "read:error=EBADF:during=startup", False),
    ],
)
def test_rules_behind_a_certain_one(first: str, second: str, shadowed: bool) -> None:
    found = "rule 'rule-1' before it takes every call, so this one never fires"
    assert (found in warnings(first, second)) is shadowed


def test_warnings_carry_their_place() -> None:
    scenario = load_text("rules:\n- {name: a, syscalls: read, delay: 1s, limit: 0}\n")
    (warning,) = lint(scenario)
    assert (warning.rule, warning.line, warning.column) == ("a", 2, 3)


def test_all_calls_at_once_are_linted_quickly() -> None:
    rules = parse_rules(["inject=all:error=EIO"])
    assert len(rules) > 300 - len(NEVER)
    assert lint(Scenario(rules))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "write,pwrite64:path=/var/**:when=3+:probability=5%:error=ENOSPC",
            (
                "the 3rd and later write or pwrite64 of each task on a file under /var, with "
                "probability 5 %, fails with ENOSPC (No space left on device)"
            ),
        ),
        (
            "error=EMFILE@3,ENFILE@1",
            (
                "every call that can fail with EMFILE or ENFILE fails with EMFILE (75 %: Too many"
                " open files) or ENFILE (25 %: Too many open files in system)"
            ),
        ),
        ("close:error=EIO", "every close is made, then fails with EIO (Input/output error)"),
        (
            "%read:when=1..9+2:per=process:limit=1:delay=1ms..2ms:kill=after",
            (
                "the 1st and every 2nd after it up to the 9th call of %read of each process, at "
                "most 1 time in each process, is delayed by 1ms to 2ms and has its process killed"
                " after it was made"
            ),
        ),
        (
            "connect:address=10.0.0.0/8:5432:process=psql,!x:retval=0:after=1s:until=2s",
            (
                "every connect with address 10.0.0.0/8:5432 in a process like psql but not x, "
                "from 1s to 2s after the start, reports 0 without being made"
            ),
        ),
        (
            "read:fd=0..2:short=1:signal=TERM:freeze=true",
            (
                "every read on descriptors 0..2 gets its task SIGTERM, has its process stopped "
                "for a debugger and transfers at most 1 byte"
            ),
        ),
        (
            "openat:args.flags=O_CREAT:caller=libpq.so*:during=startup:error=4000:when=11",
            (
                "the 11th openat of each task with flags O_CREAT called from libpq.so* (those of "
                "the dynamic loader too) fails with error 4000"
            ),
        ),
        ("all:delay=exponential 20ms", "every call is delayed by an exponential time of mean 20ms"),
        (
            "write:corrupt=bitflip:when=2..3",
            "the 2nd to 3rd write of each task has a bit of its data flipped",
        ),
        (
            "inject=read:syscall=getpid:delay_exit=5:poke_enter=@arg1=00",
            (
                "every read has memory overwritten before it (@arg1=00), is replaced by getpid "
                "and is delayed by 5us after it was made"
            ),
        ),
    ],
)
def test_rules_in_plain_english(text: str, sentence: str) -> None:
    rules = parse_rules([text])
    assert explain(Scenario(rules)) == [f"{rules[0].name}: {sentence}"]


def test_a_rule_named_as_its_call_is_named_once() -> None:
    (message,) = warnings("inject=close:retval=0")
    assert message.startswith("the descriptor stays open")
    assert warnings("close:retval=0")[0].startswith("close: the descriptor stays open")


def test_a_negative_value_is_told_as_such() -> None:
    (rule,) = parse_rules(["inject=chdir:retval=-1"])
    assert rule.text == "chdir:retval=0xffffffffffffffff:name=chdir"
    assert explain(Scenario((rule,))) == ["chdir: every chdir reports -1 without being made"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("path=/a/../b", "path: /a/../b never matches: paths are compared without . and .."),
        ("path=!./x", "path: ./x never matches: paths are compared without . and .."),
        ("path=a/b", "path: a/b never matches: paths are absolute; say **/a/b"),
        ("path=/a/", "path: /a/ never matches: no path has a / at the end; say /a/**"),
        ("path=/a//b", "path: /a//b never matches: no path has //"),
        ("path=/a/[bc", "path: the [ in /a/[bc is not closed, so it stands for itself"),
        ("process=[0-9]x[y", "process: the [ in [0-9]x[y is not closed"),
        ("thread=![a", "thread: the [ in [a is not closed"),
        ("path=**/../b", "**/../b never matches"),
    ],
)
def test_a_glob_that_never_matches(words: str, expected: str) -> None:
    (message,) = warnings(f"write:error=EIO:{words}")
    assert expected in message


@pytest.mark.parametrize(
    "glob", ["/", "/a/**", "**/x", "*.db", "/a/..b", "[ab]/c", "/a[]]b", "x[!]]", "pipe:*"]
)
def test_a_glob_that_can_match(glob: str) -> None:
    assert warnings(f"write:error=EIO:path='{glob}'") == []


def test_a_large_family_is_looked_at_as_one() -> None:
    assert warnings("inject=%file:error=EIO") == []
    (found,) = lint(Scenario(parse_rules(["inject=all:error=EIO"])))
    assert found.rule == "inject=all:error=EIO"
    assert found.message.startswith("the set includes futex")


def test_calls_that_a_large_family_names_are_still_told() -> None:
    messages = warnings("inject=chdir,fchdir,getcwd,futex,?stat:error=EMFILE")
    assert any(message.startswith("chdir, fchdir, futex, getcwd") for message in messages)
    assert any(message.startswith("futex: the C library aborts") for message in messages)
