"""strace's inject= and fault= expressions: what strace refuses is refused, the rest means the same.

The lists of wrong expressions are those of strace's own tests: qual_fault-syntax.test,
qual_inject-syntax.test, filtering_syscall-syntax.test.
"""

# ruff: noqa: SIM905 - long lists of words read better as text

import pytest

from injector.rules.scenario.oneline import parse_rule, parse_rules
from injector.words.errors import ScenarioError
from injector.words.model import Delay, Fail, Return, Substitute, When
from injector.words.syscalls import NEVER, group, native

# What both of strace's grammars refuse behind the set.
WRONG_OPTIONS = """
42 invalid invalid:when=8 error= error=:when=10 error=invalid_error_name
error=invalid_error_name:when=11 error=-1 error=-1:when=12 error=-2 error=-2:when=13 error=3+
error=3+:when=14 error=4096 error=4096:when=15 when= when=:error=19 when=0 when=0:error=20 when=-1
when=-1:error=21 when=-2+ when=-2+:error=22 when=-3+0 when=-3+0:error=23 when=4- when=4-:error=24
when=5+- when=5+-:error=25 when=6++ when=6++:error=26 when=7+0 when=7+0:error=27 when=8+-1
when=8+-1:error=28 when=9+1+ when=9+1+:error=29 when=65536 when=65536:error=30 when=1+65536
when=1+65536:error=31 error=1:error=2 syscall=invalid syscall=chdir syscall=%file syscall=-42
syscall=42 syscall=gettid:syscall=gettid when=. when=.+ when=..+ when=+ when=++ when=10.
when=11.12 when=13.14+ when=15.. when=16... when=17...18 when=.19 when=..20 when=..21+ when=..22+3
when=24..23 when=25..26+0 when=27..65535 when=28..65535+ when=65535..65535 when=65535..65535+
when=7:error=invalid_error_name error=0 error=512 error=513:when=2 error=530
""".split()
WRONG_FAULT = [
    *WRONG_OPTIONS,
    *("retval=0", "signal=1", "delay_enter=1", "delay_exit=1", "poke_enter=@arg1=00"),
]
WRONG_INJECT = [
    *WRONG_OPTIONS,
    *(f"when={when}" for when in ("1", "1+", "2..3")),  # nothing to do
    *"""retval=a retval=0b retval=0x10000000000000000 retval= signal=0 signal=129 signal=65 signal=
    signal=1:signal=2 signal=1:retval=0:signal=2 retval=0:retval=1 retval=0:error=1
    error=1:retval=0 retval=0:signal=1:error=1 delay_enter=-1 delay_exit=-2 delay_enter=
    delay_enter=x
    delay_enter=1:delay_enter=2 delay_exit=3:delay_exit=4 delay_enter=5:delay_exit=6:delay_enter=7
    delay_exit=8:delay_enter=9:delay_exit=10 delay_enter=1m poke_enter= poke_exit=
    poke_enter=invalid poke_enter=@arg8= poke_enter=@arg0= poke_enter=@arg1 poke_enter=@arg1=
    poke_enter=@arg1=000 poke_enter=@arg1=nothex
    poke_enter=@arg1=5374726163652100,@arg1=5374726163652100
    poke_enter=@arg1=5374726163652100:poke_enter=@arg1=5374726163652100""".split(),
    "poke_enter=@arg1=" + "0" * 2050,
]
WRONG_SETS = [
    *("", ",", ",,", ",,,", "!", "!,", "-1", "-2", "invalid_syscall_name", "0x", "0y", "32767"),
    *("2147483648", "4294967296", "415", "501", "/non_syscall", "%", "%not_a_class", "chdir,none"),
    *("1,!chdir", "/(", "chdir@65", "chdir@", "exit_group", "rt_sigreturn,write"),
]


def refused(text: str) -> ScenarioError:
    with pytest.raises(ScenarioError) as caught:
        parse_rule(text)
    for mistake in caught.value.mistakes:
        assert mistake.message
        assert mistake.line == 1
        assert 1 <= mistake.column <= len(text) + 1
    return caught.value


@pytest.mark.parametrize("option", WRONG_FAULT)
def test_wrong_fault_expressions_are_refused(option: str) -> None:
    refused(f"fault=chdir:{option}")


@pytest.mark.parametrize("option", WRONG_INJECT, ids=lambda option: option[:60])
def test_wrong_inject_expressions_are_refused(option: str) -> None:
    refused(f"inject=chdir:{option}")


@pytest.mark.parametrize("text", ["inject=42", "inject=chdir", "inject=chdir:", "inject=:error=1"])
def test_inject_without_anything_to_do_is_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize("kind", ["inject", "fault"])
@pytest.mark.parametrize("calls", WRONG_SETS)
def test_wrong_sets_are_refused(kind: str, calls: str) -> None:
    refused(f"{kind}={calls}:error=EIO")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("fault=chdir:error=5000", 19, "error: error 5000 is not in 1..4095"),
        ("fault=chdir:when=3+0", 20, "when: the step is 0"),
        ("fault=chdir:retval=0", 13, "fault= has no retval="),
        ("inject=chdir,wirte:error=EIO", 14, "no system call 'wirte'; did you mean 'write'?"),
        ("inject=chdir:eror=EIO", 14, "'eror=EIO' is no option; did you mean 'error'?"),
        ("inject=chdir:error=EIO:retval=1", 24, "error= and retval= exclude each other"),
    ],
)
def test_the_mistake_is_placed_in_the_expression(text: str, column: int, message: str) -> None:
    (mistake,) = refused(text).mistakes
    assert (mistake.column, mistake.message) == (column, message)


def test_kernel_errors_are_refused_with_the_reason() -> None:
    (mistake,) = refused("fault=chdir:error=512").mistakes
    assert mistake.message == (
        "error: error 512 (ERESTARTSYS) is the kernel's own, which no program sees"
    )


def test_fault_is_enosys_by_default() -> None:
    (rule,) = parse_rule("fault=chdir")
    assert rule.fault.outcome == Fail((("ENOSYS", 1.0),))
    assert rule.match.syscalls == {"chdir"}
    assert (rule.name, rule.when) == ("chdir", When())


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("3", When(3, 3)),
        ("3+", When(3)),
        ("3+2", When(3, None, 2)),
        ("3..9", When(3, 9)),
        ("3..9+", When(3, 9)),
        ("3..9+2", When(3, 9, 2)),
        ("65535", When(65535, 65535)),
        ("1..65534", When(1, 65534)),
    ],
)
def test_when_is_stracess(text: str, when: When) -> None:
    (rule,) = parse_rule(f"fault=chdir:when={text}")
    assert rule.when == when


def test_the_last_when_counts() -> None:
    (rule,) = parse_rule("fault=chdir:when=3:when=5")
    assert rule.when == When(5, 5)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("100", 100000),
        ("1.5", 1500),
        ("2s", 2 * 10**9),
        ("3ms", 3 * 10**6),
        ("4us", 4000),
        ("5ns", 5),
        ("1e3", 10**6),
        (".5s", 5 * 10**8),
        ("0", 0),
    ],
)
def test_delays_are_microseconds(text: str, nanoseconds: int) -> None:
    (rule,) = parse_rule(f"inject=chdir:delay_enter={text}:delay_exit={text}")
    assert rule.fault.delay == rule.fault.delay_exit == Delay("fixed", nanoseconds)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("42", 42),
        ("0x10", 16),
        ("010", 8),
        ("0xffffffffffffffff", 2**64 - 1),
        ("-1", 2**64 - 1),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_retval_is_read_as_strtoull_does(text: str, value: int) -> None:
    (rule,) = parse_rule(f"inject=chdir:retval={text}")
    assert rule.fault.outcome == Return(value)


def test_everything_at_once() -> None:
    (rule,) = parse_rule(
        "inject=read:error=eio:signal=USR1:delay_enter=1:poke_exit=@arg2=00FF,@arg1=01:when=2"
    )
    assert rule.fault.outcome == Fail((("EIO", 1.0),))
    assert rule.fault.signal == 10
    assert rule.fault.poke == "poke_exit=@arg2=00FF,@arg1=01"


def test_a_substitute_alone_and_with_an_error() -> None:
    (alone,) = parse_rule("inject=chdir:syscall=getpid")
    assert alone.fault.outcome == Substitute("getpid")
    (fails,) = parse_rule("fault=chdir:syscall=getpid")
    assert fails.fault.outcome == Fail((("ENOSYS", 1.0),))


def test_one_rule_for_each_syscall() -> None:
    rules = parse_rule("inject=write,read:error=EIO:when=2")
    assert [rule.name for rule in rules] == ["read", "write"]
    assert [sorted(rule.match.syscalls) for rule in rules] == [["read"], ["write"]]


def test_numbers_classes_and_regexes() -> None:
    arch = native()
    (by_number,) = parse_rule(f"fault={arch.numbers['chdir']}")
    assert by_number.name == "chdir"
    network = {rule.name for rule in parse_rule("fault=%network")}
    assert network == (group("network") or set()) & arch.numbers.keys()
    assert {rule.name for rule in parse_rule("fault=network")} == network
    # regexec(3) finds the pattern anywhere in the name
    found = {rule.name for rule in parse_rule("fault=/sleep")}
    assert found == {name for name in arch.numbers if "sleep" in name}


def test_all_and_inversion_leave_out_what_must_never_fail() -> None:
    arch = native()
    everything = {rule.name for rule in parse_rule("fault=all")}
    assert everything == arch.numbers.keys() - NEVER.keys()
    assert {rule.name for rule in parse_rule("fault=!chdir,fchdir")} == everything - {
        "chdir",
        "fchdir",
    }
    assert {rule.name for rule in parse_rule("fault=!!chdir")} == {"chdir"}
    assert parse_rule("fault=none") == ()
    assert parse_rule("fault=?no_such_call") == ()
    assert [rule.name for rule in parse_rule("fault=?no_such_call,chdir@64")] == ["chdir"]


def test_close_is_skipped_as_strace_does() -> None:
    (rule,) = parse_rule("inject=close:error=EIO")
    assert rule.fault.call == "skip"
    assert parse_rule(rule.text) == (rule,)


def test_a_later_expression_replaces_an_earlier_one() -> None:
    rules = parse_rules(["inject=read,write:error=EIO", "inject=write:error=ENOSPC"])
    assert [rule.text for rule in rules] == [
        "read:error=EIO:name=read",
        "write:error=ENOSPC:name=write",
    ]


def test_names_stay_apart_from_others() -> None:
    rules = parse_rules(["write:error=EIO:name=write", "fault=write"], taken=["write-2"])
    assert [rule.name for rule in rules] == ["write", "write-3"]
    assert rules[1].text == "write:error=ENOSYS:name=write-3"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("error=+5", "error=EIO"),
        ("retval= 5", "retval=5"),
        ("when= 3", "when=3"),
        ("delay_exit=+1", "delay_exit=1us"),
        ("signal=SIGRT_2", "signal=34"),
        (":poke_exit=,@arg1=00,:", "poke_exit=@arg1=00"),
    ],
)
def test_oddities_that_strace_accepts(text: str, same: str) -> None:
    (rule,) = parse_rule(
        f"inject=chdir:error=EPERM:{text}" if "when" in text else f"inject=chdir:{text}"
    )
    (plain,) = parse_rule(f"chdir:error=EPERM:{same}" if "when" in text else f"chdir:{same}")
    assert (rule.fault, rule.when) == (plain.fault, plain.when)


def calls_of(text: str) -> list[frozenset[str]]:
    return [rule.match.syscalls for rule in parse_rule(text)]


@pytest.mark.skipif(native().name != "x86_64", reason="only x86_64 has a second table")
def test_a_personality_limits_to_its_own_calls() -> None:
    assert calls_of("inject=mmap2@32:error=EIO") == [{"mmap2"}]
    assert calls_of("inject=7@32:error=EIO") == [{"waitpid"}]
    assert calls_of("inject=/^waitp@32:error=EIO") == [{"waitpid"}]
    assert calls_of("inject=?mmap2@64,?%no_such@32,chdir:error=EIO") == [{"chdir"}]
    for text in ("mmap2@64", "999@32", "arch_prctl@99", "?openat@99", "@32", "%@32"):
        refused(f"inject={text}:error=EIO")


@pytest.mark.skipif(native().name != "x86_64", reason="only x86_64 has a second table")
@pytest.mark.parametrize("text", ["openat@32", "?openat@32,read", "5@32", "%file@32", "all@32"])
def test_a_limit_that_no_rule_can_keep_is_refused_with_the_reason(text: str) -> None:
    (mistake,) = refused(f"inject={text}:error=EIO").mistakes
    assert mistake.message.startswith("@32: a rule names a call for every architecture, and ")
    assert mistake.message.endswith("of @32 alone")


def test_the_rules_of_one_expression_are_a_family() -> None:
    rules = parse_rules(
        ["inject=%file:error=EIO:when=2", " inject=write:error=EIO", "read:delay=1s"]
    )
    assert {rule.family for rule in rules[:-2]} == {"inject=%file:error=EIO:when=2"}
    assert [rule.family for rule in rules[-2:]] == ["inject=write:error=EIO", ""]
