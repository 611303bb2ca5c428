"""What right rules mean: the values of the model, defaults, and the law of the one-line form."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.rules.scenario.load import load_text
from injector.rules.scenario.oneline import parse_rule
from injector.words.model import (
    AddressPattern,
    ArgPattern,
    Corrupt,
    Delay,
    Fail,
    Globs,
    Masked,
    Range,
    Return,
    Rule,
    Short,
    When,
)
from injector.words.syscalls import ERRNOS, NEVER, group, syscalls_with


def one(text: str) -> Rule:
    (rule,) = parse_rule(text)
    return rule


def yaml(keys: str) -> Rule:
    (rule,) = load_text(f"rules:\n- {{{keys}}}\n").rules
    return rule


def test_the_scenario_of_the_manual() -> None:
    scenario = load_text(
        """\
name: wal-disk-full
about: One line that says what goes wrong in the world.
seed: 42
rules:
  - name: wal-enospc
    syscalls: [write, pwrite64]
    path: "/var/lib/app/wal/**"
    process: "postgres*"
    when: 3+
    probability: 5%
    limit: 10
    error: ENOSPC
""",
        "wal.yaml",
    )
    assert (scenario.name, scenario.seed, scenario.source) == ("wal-disk-full", 42, "wal.yaml")
    (rule,) = scenario.rules
    assert rule.match.syscalls == {"write", "pwrite64"}
    assert rule.match.path == Globs(("/var/lib/app/wal/**",))
    assert rule.match.process == Globs(("postgres*",))
    assert (rule.when, rule.probability, rule.limit) == (When(3), 0.05, 10)
    assert rule.fault.outcome == Fail((("ENOSPC", 1.0),))
    assert (rule.per, rule.fault.call, rule.place) == ("task", "skip", (5, 5))
    assert rule.text == (
        "write,pwrite64:path=/var/lib/app/wal/**:process=postgres*:when=3+:probability=5%"
        ":limit=10:error=ENOSPC:name=wal-enospc"
    )


def test_both_forms_are_the_same_rule() -> None:
    assert yaml(
        "syscalls: [openat, socket], error: {EMFILE: 9, ENFILE: 1}, args: {flags: ['!O_APPEND']},"
        "path: ['/a:b/**', '!/c,d'], address: ['10.0.0.0/8:5432', 'unix:@x'], fd: [socket, 0..2],"
        "delay: normal 20ms 5ms, kill: after, freeze: true, during: startup, per: run, until: 2s"
    ) == one(
        "openat,socket:error=EMFILE@9,ENFILE@1:args.flags=!O_APPEND:path=\"/a:b/**\",'!/c,d'"
        ":address=10.0.0.0/8:5432,unix:@x:fd=socket,0..2:delay=normal 20ms 5ms:kill=after"
        ":freeze=true:during=startup:per=run:until=2s"
    )


def test_left_out_syscalls_are_all_that_can_fail_so() -> None:
    for text in ("error=EMFILE", ":error=EMFILE", "*:error=EMFILE", "*:error=emfile"):
        assert one(text).match.syscalls >= syscalls_with("EMFILE") - {"close", *NEVER}
    assert one("error=EMFILE") == yaml("error: EMFILE")
    both = one("error=EMFILE,ENFILE")
    assert both.match.syscalls >= syscalls_with("ENFILE") - NEVER.keys()
    # mmap's counterpart on i386
    assert {"mmap", "mmap2"} <= one("error=ENOMEM").match.syscalls
    assert one("error=EIO").match.syscalls & {"close", "exit_group"} == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("openat,read", {"openat", "read"}),
        ("openat , read", {"openat", "read"}),
        ("mmap", {"mmap", "mmap2"}),
        ("/p?writev?/", {"write", "writev", "pwritev"}),
        ("/p(read|write)(64)?/", {"pread64", "pwrite64"}),
        ("/r.{1,2}d/", {"read"}),
        ("/(?:un)?link/", {"link", "unlink"}),
        ("%accept", {"accept", "accept4"}),
        ("%accept,!accept4", {"accept"}),
        ("%accept,!/.*4/", {"accept"}),
    ],
)
def test_sets(text: str, expected: set[str]) -> None:
    rule = one(f"{text}:delay=1s")
    assert rule.match.syscalls == expected
    assert parse_rule(rule.text) == (rule,)


def test_sets_of_exclusions_and_groups_leave_out_what_must_never_fail() -> None:
    rule = one("!read:delay=1s")
    assert "read" not in rule.match.syscalls
    assert "write" in rule.match.syscalls
    assert not rule.match.syscalls & NEVER.keys()
    assert not one("%process:error=EIO").match.syscalls & NEVER.keys()
    assert not one("/.*exit.*|read/:error=EIO").match.syscalls & NEVER.keys()
    assert one("all:delay=1s").match.syscalls > (group("file") or set())
    # what does not fail the call is allowed
    assert one("exit_group:delay=1s").match.syscalls == {"exit_group"}


def test_close() -> None:
    assert one("close:error=EIO").fault.call == "run"
    assert one("close:error=EIO:call=skip").fault.call == "skip"
    assert one("close:delay=1s").fault.call == "skip"
    assert "close" not in one("%desc:error=EIO").match.syscalls
    assert "close" in one("%desc:delay=1s").match.syscalls
    assert "close" in one("%desc:error=EIO:call=run").match.syscalls
    assert "close" not in one("error=EIO").match.syscalls
    both = one("read,close:error=EIO:call=skip")
    assert both.match.syscalls == {"read", "close"}
    assert both.fault.call == "skip"


def test_percentages_are_the_probability() -> None:
    rule = yaml("error: {EMFILE: 1%, ENFILE: 2%}")
    assert rule.probability == 0.03
    assert rule.fault.outcome == Fail((("EMFILE", 1.0), ("ENFILE", 2.0)))
    assert parse_rule(rule.text) == (rule,)
    assert yaml("syscalls: read, error: {EIO: 100%}").probability == 1


def test_lists_of_errors_weigh_the_same() -> None:
    assert yaml("syscalls: read, error: [EIO, 5000]".replace("5000", "9")).fault.outcome == Fail(
        (("EIO", 1.0), ("EBADF", 1.0))
    )


@pytest.mark.parametrize(
    ("keys", "outcome"),
    [
        ("syscalls: read, retval: 0", Return(0)),
        ("syscalls: read, retval: 0x10", Return(16)),
        ("syscalls: read, short: 1", Short(bytes=1)),
        ("syscalls: '%write', short: 50%", Short(fraction=0.5)),
        ("syscalls: read, corrupt: bitflip", Corrupt("bitflip")),
    ],
)
def test_outcomes(keys: str, outcome: object) -> None:
    assert yaml(keys).fault.outcome == outcome


def test_short_takes_of_a_group_what_transfers() -> None:
    assert one("%desc:short=1").match.syscalls >= {"read", "write", "sendfile"}
    assert "openat" not in one("%desc:short=1").match.syscalls
    assert "sendfile" not in one("%desc:corrupt=zero").match.syscalls


def test_other_effects() -> None:
    fault = yaml(
        "syscalls: read, delay: 10ms..50ms, signal: TERM, kill: before, freeze: true"
    ).fault
    assert fault.delay == Delay("uniform", 10_000_000, 50_000_000)
    assert (fault.signal, fault.kill, fault.freeze) == (15, "before", True)


@pytest.mark.parametrize(
    ("calls", "name", "text", "tests"),
    [
        ("openat", "flags", "O_CREAT", (Masked(0o100, 0o100),)),
        ("openat", "flags", "O_CREAT|O_WRONLY", (Masked(0o103, 0o101),)),
        ("openat", "flags", "O_RDONLY", (Masked(3, 0),)),
        ("openat", "flags", "!O_APPEND", (Masked(0o2000, 0o2000, True),)),
        ("openat", "flags", "0x1000", (Range(0x1000, 0x1000),)),
        ("openat", "mode", "0644", (Range(0o644, 0o644),)),
        ("openat", "dirfd", "AT_FDCWD", (Range(-100, -100),)),
        ("write", "count", ">4096", (Range(4097, None),)),
        ("write", "count", "10..20", (Range(10, 20),)),
        ("write", "count", ">1K,<2K", (Range(1025, None), Range(None, 2047))),
        ("write", "count", "!=0", (Masked(2**64 - 1, 0, True),)),
        ("write", "fd", "!1", (Masked(2**32 - 1, 1, True),)),
        ("lseek", "whence", "SEEK_END", (Masked(2**32 - 1, 2),)),
        ("mmap", "prot", "PROT_EXEC", (Masked(4, 4),)),
    ],
)
def test_arguments(calls: str, name: str, text: str, tests: tuple[object, ...]) -> None:
    rule = one(f"{calls}:args.{name}={text}:error=EIO")
    assert rule.match.args == (ArgPattern(name, tests, text),)  # type: ignore[arg-type]
    assert parse_rule(rule.text) == (rule,)


def test_addresses_need_no_quotes() -> None:
    rule = one("connect:address=[::1]:53,:443:error=ECONNREFUSED")
    assert rule.match.address == (
        AddressPattern("::1", Range(53, 53), text="[::1]:53"),
        AddressPattern("", Range(443, 443), text=":443"),
    )
    assert one('connect:address="[::1]:53",":443":error=ECONNREFUSED') == rule


# --- the law: what a rule's text is parsed to is the rule -----------------------------------------

words = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12)
printable = words.map(str.strip).filter(bool)
globs = st.lists(
    words.filter(lambda text: text != "!") | st.just("/a:b/**,c\n\t\"'\\"), min_size=1, max_size=3
)
errnos = st.sampled_from(sorted(ERRNOS))
sets = st.sampled_from(
    ["openat", "write,pwrite64", "%write", "/p?read.*/", "!read", "all", "close", "%desc,!write"]
)
when = st.from_regex(r"[1-9][0-9]{0,3}(\+([1-9][0-9]?)?)?", fullmatch=True) | st.builds(
    lambda first, more, step: f"{first}..{first + more}{step}",
    *(st.integers(1, 99), st.integers(0, 99), st.sampled_from(["", "+", "+2", "+200"])),
)
times = st.integers(0, 10**15).map(lambda n: f"{n}ns") | st.sampled_from(["1.5s", "2m", "10 us"])
delays = st.one_of(
    times,
    st.integers(0, 999).flatmap(lambda n: st.just(f"{n}us..{n}ms")),
    times.map(lambda text: f"exponential {text.replace(' ', '')}"),
    st.just("normal 20ms 5ms"),
)
outcomes: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"error": errnos}, optional={"call": st.sampled_from(["skip", "run"])}),
    st.fixed_dictionaries(
        {"error": st.dictionaries(errnos, st.integers(1, 99) | st.floats(0.001, 99), min_size=1)}
    ),
    st.fixed_dictionaries({"error": st.lists(errnos, min_size=1, max_size=3, unique=True)}),
    st.fixed_dictionaries(
        {"retval": st.integers(-(2**63), 2**63 - 1).filter(lambda n: not -4096 < n < 0)}
    ),
    st.just({"short": "12.5%"}),
    st.builds(lambda size: {"short": size}, st.integers(1, 2**40)),
    st.builds(lambda how: {"corrupt": how}, st.sampled_from(["bitflip", "zero", "random"])),
    st.just({"substitute": "getpid"}),
    st.just({}),
)
others = st.fixed_dictionaries(
    {},
    optional={
        "name": printable,
        "path": globs,
        "process": globs,
        "thread": globs,
        "caller": globs,
        "fd": st.lists(
            st.sampled_from([0, "0..2", ">2", "<=9", "socket", "tty", "file"]), min_size=1
        ),
        "address": st.lists(
            st.sampled_from(
                [
                    "10.0.0.0/8:5432",
                    ":443",
                    ":1..9",
                    "[::1]:53",
                    "fe80::/10",
                    "unix:/a,b:c",
                    "unix:@x",
                ]
            ),
            min_size=1,
        ),
        "when": when,
        "probability": st.floats(0, 1) | st.sampled_from(["5%", "0.1%"]),
        "limit": st.integers(0, 2**40),
        "per": st.sampled_from(["task", "process", "run"]),
        "after": times,
        "until": times,
        "during": st.just("startup"),
        "delay": delays,
        "delay_exit": delays,
        "signal": st.integers(1, 64),
        "kill": st.sampled_from(["before", "after"]),
        "freeze": st.just(True),
        "poke_enter": st.just("@arg1=00FF,@arg2=01"),
        "poke_exit": st.just("@arg1=00"),
    },
)


def acceptable(keys: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the checker rightly refuses."""
    if "error" not in keys:
        keys.setdefault("syscalls", "write")
        if not {"retval", "short", "corrupt", "substitute"} & keys.keys():
            keys.setdefault("delay", "1s")
    if {"short", "corrupt"} & keys.keys():
        keys["syscalls"] = "%write"
    error = keys.get("error")
    if isinstance(error, dict | list):
        seen: dict[int, str] = {}
        for name in error:
            seen.setdefault(ERRNOS[name], name)  # aliases of one number are given twice
        kept = [name for name in error if name in seen.values()]
        keys["error"] = {n: error[n] for n in kept} if isinstance(error, dict) else kept
    if "syscalls" not in keys:
        names = [error] if isinstance(error, str) else list(keys["error"])
        if not any(syscalls_with(name) - {"close"} for name in names):
            keys["syscalls"] = "write"
    return keys


rules = st.builds(
    lambda calls, outcome, rest: acceptable({**calls, **outcome, **rest}),
    st.fixed_dictionaries({}, optional={"syscalls": sets}),
    outcomes,
    others,
)


@settings(max_examples=500, deadline=None)
@given(rules)
def test_the_text_of_a_rule_is_parsed_to_the_rule(keys: dict[str, Any]) -> None:
    (rule,) = load_text(json.dumps({"rules": [keys]}, ensure_ascii=False)).rules
    (again,) = parse_rule(rule.text)
    assert again == rule
    assert again.text == rule.text


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_a_told_mistake(text: str) -> None:
    from injector.words.errors import ScenarioError

    for form in (text, f"openat:{text}", f"inject={text}", f"openat:path={text}:error=EIO"):
        try:
            parsed = parse_rule(form)
        except ScenarioError as error:
            assert error.mistakes
        else:
            for rule in parsed:
                assert parse_rule(rule.text) == (rule,)


pieces = st.sampled_from(
    [
        *":=,!%/*\"'\\@|[]{}()&# \n\t-?><~.+",
        "rules",
        "syscalls",
        "error",
        "EIO",
        "openat",
        "- ",
        "args",
        "flags",
        "O_CREAT",
        "0",
        "1%",
        "null",
        "true",
        ": ",
        "\n  ",
        "when",
        "delay",
        "1s",
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(pieces, max_size=25).map("".join), st.booleans())
def test_any_file_is_a_scenario_or_a_told_mistake(text: str, within: bool) -> None:
    from injector.words.errors import ScenarioError

    try:
        load_text(f"rules:\n- error: EIO\n  {text}" if within else text)
    except ScenarioError as error:
        assert error.mistakes
        assert all(mistake.line for mistake in error.mistakes)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("read:error={EIO: 3%}:limit=2", "read:error=EIO@3%:limit=2"),
        ("read:error= { EIO:2 , EAGAIN: '1' } ", "read:error=EIO@2,EAGAIN@1"),
        ("read:error={EIO: 3%, EAGAIN: 1%,}", "read:error=EIO@3%,EAGAIN@1%"),
        ("openat:args={flags: O_CREAT, mode: 0600}:delay=1s", None),
    ],
)
def test_a_mapping_in_one_line_is_that_of_a_scenario(text: str, same: str | None) -> None:
    same = same or "openat:args.flags=O_CREAT:args.mode=0600:delay=1s"
    assert parse_rule(text) == parse_rule(same)
