"""What is wrong in a scenario: each mistake with its exact place and text, all of them at once."""

import pytest

from injector.rules.scenario.load import load_text
from injector.rules.scenario.oneline import caret, parse_rule, parse_rules
from injector.words.errors import InjectError, ScenarioError
from injector.words.syscalls import NEVER


def rule(text: str) -> str:
    """A scenario of one rule; its keys are in line 2 from column 4 on."""
    return f"rules:\n- {{{text}}}\n"


ONE = "syscalls: openat, error: EMFILE"


@pytest.mark.parametrize(
    ("keys", "column", "message"),
    [
        ("eror: EIO, syscalls: read", 4, "unknown key 'eror'; did you mean 'error'?"),
        ("syscall: read, error: EIO", 4, "unknown key 'syscall'; did you mean 'syscalls'?"),
        ("host: x, " + ONE, 4, "unknown key 'host'; did you mean 'address'?"),
        ("zzz: 1, " + ONE, 4, "unknown key 'zzz'"),
        ("syscalls: wirte, error: EIO", 14, "no system call 'wirte'; did you mean 'write'?"),
        (
            "syscalls: [read, wirte], error: EIO",
            21,
            "no system call 'wirte'; did you mean 'write'?",
        ),
        (
            "syscalls: 'read, wirte', error: EIO",
            21,
            "no system call 'wirte'; did you mean 'write'?",
        ),
        ("syscalls: '%fiel', error: EIO", 14, "no group '%fiel'; did you mean '%file'?"),
        (
            "syscalls: network, error: EIO",
            14,
            "no system call 'network'; did you mean the group '%network'?",
        ),
        (
            "syscalls: fopen, error: EIO",
            14,
            "'fopen' is a function of the C library, not a system call; did you mean 'openat'?",
        ),
        ("syscalls: 1, error: EIO", 14, "'1' is a number, not the name of a system call"),
        ("syscalls: '/op(en/', error: EIO", 18, "wrong regex: missing ), unterminated subpattern"),
        ("syscalls: /open, error: EIO", 14, "a regex is written between slashes"),
        ("syscalls: /xyz/, error: EIO", 14, "no system call matches /xyz/"),
        (
            "syscalls: 'read,!read', error: EIO",
            14,
            "the set of system calls is empty: all of it is excluded",
        ),
        ("syscalls: 'read,,write', error: EIO", 20, "a system call is missing here"),
        ("syscalls: [], error: EIO", 14, "syscalls: the list is empty"),
        ("syscalls: {a: b}, error: EIO", 14, "syscalls: expected a value or a list, not a mapping"),
        ("syscalls: , error: EIO", 14, "syscalls: expected one value, not nothing"),
        ("syscalls: true, error: EIO", 14, "syscalls: expected one value, not true"),
        (
            "syscalls: exit_group, error: EIO",
            14,
            f"exit_group must never fail: {NEVER['exit_group']}",
        ),
        ("syscalls: openat, error: ENOSP", 29, "error: no error 'ENOSP'; did you mean 'ENOSPC'?"),
        ("syscalls: openat, error: 0", 29, "error: error 0 is no error"),
        ("syscalls: openat, error: 4096", 29, "error: error 4096 is not in 1..4095"),
        ("syscalls: openat, error: {EIO: x}", 35, "error: 'x' is not a number"),
        ("syscalls: openat, error: {EIO: 0}", 35, "error: a weight of 0 never happens"),
        ("syscalls: openat, error: {EIOO: 1}", 30, "error: no error 'EIOO'; did you mean 'EIO'?"),
        ("syscalls: openat, error: {EIO: 1, eio: 2}", 38, "error: EIO is given twice"),
        (
            "syscalls: openat, error: {EIO: 1%, EPERM: 2}",
            22,
            "error: percentages and plain weights cannot be mixed",
        ),
        (
            "syscalls: openat, error: {EIO: 60%, EPERM: 50%}",
            22,
            "error: the percentages sum to 110%, over 100%",
        ),
        (
            "syscalls: openat, probability: 5%, error: {EIO: 1%}",
            39,
            "error: percentages are the probability; `probability` says it again",
        ),
        ("syscalls: openat, error: {}", 29, "error: the mapping is empty"),
        ("error: 4000", 4, "error: no system call fails with 4000 by its manual page"),
        (
            "syscalls: openat, error: EIO, retval: 0",
            34,
            "retval: error says already what becomes of the call",
        ),
        (
            "syscalls: read, short: 1, corrupt: zero",
            30,
            "corrupt: short says already what becomes of the call",
        ),
        (
            "syscalls: read, error: EIO, short: 1",
            32,
            "short: error says already what becomes of the call",
        ),
        ("syscalls: openat, retval: -5", 30, "retval: -5 is a failure to the program"),
        ("syscalls: openat, short: 1", 14, "openat transfers no data that short could change"),
        (
            "syscalls: openat, corrupt: zero",
            14,
            "openat transfers no data that corrupt could change",
        ),
        (
            "syscalls: read, corrupt: flip",
            29,
            "corrupt: 'flip' is not one of bitflip, zero, random; did you mean 'bitflip'?",
        ),
        ("syscalls: read, short: 0", 27, "short: 0 bytes is no transfer"),
        ("syscalls: read", 3, "the rule does nothing to the calls it names"),
        ("syscalls: read, probability: 5%", 3, "the rule does nothing to the calls it names"),
        ("delay: 1s", 3, "the rule names no system calls"),
        (ONE + ", when: 0", 43, "when: occurrences count from 1"),
        (ONE + ", probability: 7", 50, "probability: 7, without %, is more than always"),
        (ONE + ", limit: -1", 44, "limit: -1 is negative"),
        (ONE + ", limit: x", 44, "limit: 'x' is not an integer"),
        (ONE + ", per: thread", 42, "per: 'thread' is not one of task, process, run"),
        (ONE + ", after: 5", 44, "after: say the unit of 5"),
        (ONE + ", until: '5 sec'", 47, "until: unknown unit 'sec'"),
        (
            ONE + ", during: start",
            45,
            "during: 'start' is not one of startup; did you mean 'startup'?",
        ),
        (ONE + ", call: maybe", 43, "call: 'maybe' is not one of skip, run"),
        (ONE + ", when: [1, 2]", 43, "when: expected one value, not a list"),
        (ONE + ", path: {a: b}", 43, "path: expected a value or a list, not a mapping"),
        (ONE + ", path: ''", 43, "an empty pattern matches nothing"),
        (ONE + ", fd: sock", 41, "'sock' is no descriptor; did you mean 'socket'?"),
        (
            ONE + ", address: 'db.example:80'",
            46,
            "address: 'db.example': host names are not looked up",
        ),
        (
            ONE + ", args: O_CREAT",
            43,
            "args: expected a mapping of parameters, like {flags: O_CREAT}, not 'O_CREAT'",
        ),
        (
            ONE + ", args: {flgas: O_CREAT}",
            44,
            "no parameter 'flgas' in this call; did you mean 'flags'?",
        ),
        (ONE + ", args: {flags: O_CRAET}", 51, "no 'O_CRAET' for flags; did you mean 'O_CREAT'?"),
        (
            ONE + ", args: {flags: O_RDONLY|O_WRONLY}",
            60,
            "O_WRONLY cannot hold together with the words before it",
        ),
        (ONE + ", args: {mode: 644}", 50, "is mode 644 octal?"),
        (
            ONE + ", args: {pathname: /etc}",
            54,
            "pathname is a text; only its address is an argument",
        ),
        (
            "syscalls: lseek, error: EIO, args: {whence: SEEK_SET|SEEK_END}",
            48,
            "whence is one value, not flags",
        ),
        (
            "syscalls: read, error: EIO, args: {count: lots}",
            46,
            "'lots' is no number, and count has no words",
        ),
        ("syscalls: read, delay: 5", 27, "delay: say the unit of 5"),
        ("syscalls: read, delay: [1s, 2s]", 27, "delay: expected one value, not a list"),
        (
            "syscalls: read, signal: SIGTREM",
            28,
            "signal: no signal 'SIGTREM'; did you mean 'SIGTERM'?",
        ),
        ("syscalls: read, kill: now", 26, "kill: 'now' is not one of before, after"),
        (
            "syscalls: read, freeze: yes",
            28,
            "freeze: true is the only value; leave the key out otherwise",
        ),
        (
            "syscalls: read, delay: 1s, call: run",
            31,
            "call: says what becomes of a call that `error` fails, and there is no error",
        ),
        (
            "syscalls: 'read, close', error: EIO",
            21,
            "close is made, then reported as failed; the other calls of the rule are not made",
        ),
        ("syscalls: read, substitute: open", 32, "substitute: open has effects of its own"),
        ("syscalls: read, poke_enter: x", 32, "poke_enter: 'x' is no data for an argument"),
        ('name: "a\\nb", ' + ONE, 10, "name: a name is one line of text"),
        ("name: , " + ONE, 10, "name: expected one value, not nothing"),
    ],
)
def test_one_mistake(keys: str, column: int, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text(rule(keys), "s.yaml")
    assert [(m.line, m.column, m.message) for m in caught.value.mistakes] == [(2, column, message)]
    assert str(caught.value) == f"s.yaml:2:{column}: {message}"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        (
            "sed: 1\nrules: [{syscalls: read, error: EIO}]",
            1,
            1,
            "unknown key 'sed'; did you mean 'seed'?",
        ),
        (
            "seed: x\nrules: [{syscalls: read, error: EIO}]",
            1,
            7,
            "seed: expected a whole number, not 'x'",
        ),
        (
            "seed: -1\nrules: [{syscalls: read, error: EIO}]",
            1,
            7,
            f"seed: -1 is not in 0..{2**64 - 1}",
        ),
        (
            "seed: true\nrules: [{syscalls: read, error: EIO}]",
            1,
            7,
            "seed: expected a whole number, not true",
        ),
        (
            "about: [x]\nrules: [{syscalls: read, error: EIO}]",
            1,
            8,
            "about: expected one value, not a list",
        ),
        ("rules: []", 1, 8, "rules: the list is empty"),
        ("rules:", 1, 7, "there is no rule"),
        ("rules: {syscalls: read}", 1, 8, "rules: expected a list, not a mapping"),
        ("rules: [read]", 1, 9, "expected a mapping, not 'read'"),
        ("seed: 1", 1, 1, "'rules' is missing"),
        ("- a", 1, 1, "expected a mapping, not a list"),
        ("hello", 1, 1, "expected a mapping, not 'hello'"),
    ],
)
def test_mistakes_of_the_whole(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "s.yaml")
    assert [(m.line, m.column, m.message) for m in caught.value.mistakes] == [
        (line, column, message)
    ]


def test_a_key_of_a_rule_outside_of_one() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text("error: EIO\nrules: [{syscalls: read, error: EIO}]")
    (mistake,) = caught.value.mistakes
    assert mistake.message == (
        "unknown key 'error'; it belongs to a rule: rules: [{syscalls: …, error: …}]"
    )


def test_several_at_once_in_the_order_of_the_file() -> None:
    text = """\
sed: 42
rules:
  - name: twice
    syscals: [write]
    when: 0
    error: ENOSP
  - name: twice
    syscalls: [write, wrote, "%fil"]
    delay: 5
    error: ENOSPC
    retval: 5
  - 7
"""
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "s.yaml")
    assert caught.value.lines() == (
        "s.yaml:1:1: unknown key 'sed'; did you mean 'seed'?",
        "s.yaml:4:5: unknown key 'syscals'; did you mean 'syscalls'?",
        "s.yaml:5:11: when: occurrences count from 1",
        "s.yaml:6:12: error: no error 'ENOSP'; did you mean 'ENOSPC'?",
        "s.yaml:7:11: another rule is named 'twice' already, in line 3",
        "s.yaml:8:23: no system call 'wrote'; did you mean 'write'?",
        "s.yaml:8:30: no group '%fil'; did you mean '%file'?",
        "s.yaml:9:12: delay: say the unit of 5",
        "s.yaml:11:5: retval: error says already what becomes of the call",
        "s.yaml:12:5: expected a mapping, not '7'",
    )
    assert caught.value.status == 125


def test_an_unnamed_rule_can_clash_too() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text("rules:\n- {name: rule-2, error: EIO}\n- {error: EIO}\n")
    assert caught.value.lines() == (
        "scenario:3:3: another rule is named 'rule-2' already, in line 2",
    )


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "the rule is empty"),
        ("  ", 1, "the rule is empty"),
        ("openat", 1, "the rule does nothing to the calls it names"),
        ("openat:", 8, "a key=value is missing here"),
        ("openat::error=EIO", 8, "a key=value is missing here"),
        ("openat:error", 8, "'error' has no value"),
        ("openat:error=", 14, "error: no error ''"),
        ("openat:EIO", 8, "'EIO' is no key=value"),
        ("openat:eror=EIO", 8, "unknown key 'eror'; did you mean 'error'?"),
        ("openat:delay_enter=1s", 8, "unknown key 'delay_enter'; did you mean 'delay'?"),
        ("openat:error=EIO:error=EIO", 18, "'error' is given twice"),
        ("openat:syscalls=read:error=EIO", 8, "'syscalls' is given twice"),
        ("opentaat:error=EIO", 1, "no system call 'opentaat'; did you mean 'openat'?"),
        ("read,opentaat:error=EIO", 6, "no system call 'opentaat'; did you mean 'openat'?"),
        ("*,read:error=EIO", 1, "* stands alone, for every call that can fail with the error"),
        ("*:delay=1s", 1, "the rule names no system calls"),
        (":delay=1s", 1, "the rule names no system calls"),
        ("/a(/:error=EIO", 3, "wrong regex: missing ), unterminated subpattern"),
        ("openat:path=/a:b:error=EIO", 16, "'b' is no key=value"),
        ('openat:path="/a:error=EIO', 13, "the quote is not closed"),
        ("openat:path='/a:error=EIO", 13, "the quote is not closed"),
        ('openat:path="/a"b:error=EIO', 17, "text after the closing quote"),
        (r'openat:path="\q":error=EIO', 14, r"unknown escape \q"),
        ("openat:args=O_CREAT:error=EIO", 8, "args: name the parameter"),
        ("openat:args.=O_CREAT:error=EIO", 8, "args: name the parameter"),
        (
            "openat:args.flgas=1:error=EIO",
            13,
            "no parameter 'flgas' in this call; did you mean 'flags'?",
        ),
        ("openat:args.flags=1:args.flags=2:error=EIO", 26, "'args.flags' is given twice"),
        ("openat:when=1,2:error=EIO", 15, "when: takes one value"),
        ("openat:when=0:error=EIO", 13, "when: occurrences count from 1"),
        ("openat:error=EIO@x", 18, "error: 'x' is not a number"),
        (
            "openat:error=EIO@1%:probability=1%",
            8,
            "error: percentages are the probability; `probability` says it again",
        ),
        (
            "connect:address=localhost:80:error=EIO",
            17,
            "address: 'localhost': host names are not looked up",
        ),
        ("openat:freeze=yes", 15, "freeze: 'yes' is not one of true"),
        ("openat:delay=5", 14, "delay: say the unit of 5"),
        ("openat:fd=0..x:error=EIO", 11, "'x' is not an integer"),
        ("rt_sigreturn:error=EIO", 1, f"rt_sigreturn must never fail: {NEVER['rt_sigreturn']}"),
        (
            "openat:limit=" + "9" * 500 + ":error=EIO",
            14,
            "limit: the value is too long to mean anything",
        ),
    ],
)
def test_mistakes_of_one_line_rules(text: str, column: int, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_rule(text)
    assert [(m.line, m.column, m.message) for m in caught.value.mistakes] == [(1, column, message)]
    assert str(caught.value) == f"-e '{text}':1:{column}: {message}"
    shown, below = caret(text, caught.value.mistakes[0])
    assert below.index("^") <= len(shown)


def test_several_mistakes_of_a_one_line_rule() -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_rule("wirte:error=ENOSP:when=0:when=1:x")
    assert [
        (m.column, m.message) for m in sorted(caught.value.mistakes, key=lambda m: m.column)
    ] == [
        (1, "no system call 'wirte'; did you mean 'write'?"),
        (13, "error: no error 'ENOSP'; did you mean 'ENOSPC'?"),
        (24, "when: occurrences count from 1"),
        (26, "'when' is given twice"),
        (33, "'x' is no key=value"),
    ]


def test_names_of_several_one_line_rules() -> None:
    rules = parse_rules(["read:error=EIO", "write:error=EIO"], taken=["a"])
    assert [rule.name for rule in rules] == ["rule-2", "rule-3"]
    with pytest.raises(ScenarioError) as caught:
        parse_rules(["read:error=EIO:name=a"], taken=["a"])
    assert isinstance(caught.value, InjectError)
    assert "another rule is named 'a' already" in str(caught.value)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("EOI", "EIO"),
        ("eoi", "EIO"),
        ("ENOSCP", "ENOSPC"),
        ("EMFIEL", "EMFILE"),
        ("EPIEP", "EPIPE"),
    ],
)
def test_two_letters_exchanged_are_one_mistake(word: str, meant: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_rule(f"write:error={word}")
    assert caught.value.mistakes[0].message == f"error: no error '{word}'; did you mean '{meant}'?"


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("read:error={EIO: 3%", 12, "the { is not closed"),
        ("read:error={}", 6, "error: has no value"),
        ("read:error={EIO: 1,,}", 20, "error: ',' is no NAME: VALUE"),
        ("read:error={EIO}", 13, "error: 'EIO' is no NAME: VALUE"),
        ("read:error={EOI: 3%}", 13, "error: no error 'EOI'; did you mean 'EIO'?"),
        ("read:error={EIO: 3x}", 18, "error: '3x' is not a number"),
        ("read:error={EIO: '3x'}", 18, "error: '3x' is not a number"),
        ("read:error={EIO: 3%}x:limit=1", 21, "text after the closing }"),
        ("read:error={EIO: 3%},ENOSPC", 21, "text after the closing }"),
        ("read:error=EIO:error={EIO: 3%}", 16, "'error' is given twice"),
        ("openat:error=EIO:args={flags: O_CRAET}", 31, "no 'O_CRAET' for flags"),
    ],
)
def test_mistakes_in_a_mapping_of_one_line(text: str, column: int, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_rule(text)
    (mistake,) = caught.value.mistakes
    assert mistake.message.startswith(message)
    assert mistake.column == column
