"""`site`: one call by its name in the journal, in every form a rule is written in."""

from __future__ import annotations

import pytest

from injector.rules.decide import RulesDecider
from injector.rules.scenario.explain import explain_rule
from injector.rules.scenario.lint import lint
from injector.rules.scenario.load import load_text
from injector.rules.scenario.oneline import parse_rule, parse_rules
from injector.rules.subscribe import subscriptions
from injector.words.errors import ScenarioError
from injector.words.model import Corrupt, Scenario, Site
from injector.words.syscalls import X86_64

from .test_decide import FakeCall, FakeTask


def refused(text: str) -> list[tuple[int, str]]:
    with pytest.raises(ScenarioError) as caught:
        parse_rule(text)
    return [(one.column, one.message) for one in caught.value.mistakes]


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("0/openat#3", Site("0", "openat", 3)),
        ("0.2/write#12+", Site("0.2", "write", 12, onward=True)),
        ("0.x1.2/mmap2#1", Site("0.x1.2", "mmap2", 1)),
        ("3/read#1", Site("3", "read", 1)),
    ],
)
def test_both_forms_and_back(text: str, site: Site) -> None:
    (rule,) = parse_rule(f"site={text}:delay=1ms")
    (same,) = load_text(f"rules: [{{site: {text}, delay: 1ms}}]").rules
    assert rule.match.site == same.match.site == site
    assert str(site) == text
    assert rule.match.syscalls == {site.syscall}
    assert rule.match.startup
    assert parse_rule(rule.text) == (rule,)


def test_syscalls_may_say_it_again() -> None:
    (rule,) = parse_rule("%file,!close:site=0/openat#3:error=EIO")
    assert rule.match.syscalls == {"openat"}
    assert parse_rule(rule.text) == (rule,)


def test_the_fault_that_close_has_by_default() -> None:
    (made,) = parse_rule("site=0/close#1:error=EIO")
    assert made.fault.call == "run"
    (skipped,) = parse_rule("site=0/close#1:error=EIO:call=skip")
    assert parse_rule(skipped.text)[0].fault.call == "skip"


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("site=02#3:error=EIO", 6, "site: '02#3' is no site"),
        ("site=0/read#0:error=EIO", 6, "site: '0/read#0' is no site"),
        ("site=0/read#1+2:error=EIO", 6, "site: '0/read#1+2' is no site"),
        ("site=0/read:error=EIO", 6, "site: '0/read' is no site"),
        (
            "site=0.1/opnat#3:error=EIO",
            10,
            "site: no system call 'opnat'; did you mean 'openat'?",
        ),
        (
            "write:site=0/read#1:error=EIO",
            12,
            "site: 0/read#1 is a call of read, which syscalls does not name",
        ),
        (
            "site=0/getpid#1:short=1",
            6,
            "getpid transfers no data that short could change",
        ),
    ],
)
def test_mistakes(text: str, column: int, message: str) -> None:
    assert refused(text) == [(column, message)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "site=0.2/openat#3:error=EIO",
            "the 3rd openat of task 0.2 fails with EIO (Input/output error)",
        ),
        ("site=0/read#11+:short=1", "the 11th and later read of task 0 transfers at most 1 byte"),
        (
            "site=0/read#1:corrupt=bitflip 0.25",
            "the 1st read of task 0 has a bit of its data flipped (choice 0.25)",
        ),
    ],
)
def test_in_plain_words(text: str, sentence: str) -> None:
    assert explain_rule(parse_rule(text)[0]) == sentence


def test_a_single_call_is_no_storm_and_has_no_twins() -> None:
    rules = parse_rules(("site=0/read#1:error=EINTR", "site=0/open#1:error=ENOENT"))
    assert lint(Scenario(rules)) == ()


def test_the_kernel_leaves_no_call_of_the_name_out() -> None:
    rules = parse_rules(("site=0/write#2:fd=1:error=EIO",))
    (wanted,) = subscriptions([rule.match for rule in rules], (), (X86_64,))[X86_64]
    assert wanted.comparisons == ()


def calls(decides: RulesDecider, task: FakeTask, name: str, count: int) -> list[int]:
    """Return the numbers of the calls that something is done to."""
    found = []
    for number in range(1, count + 1):
        task.calls[name] = number
        if decides.decide(FakeCall(name, task, by_loader=number < 3)) is not None:
            found.append(number)
    return found


def test_exactly_that_call_and_the_later_ones() -> None:
    texts = ("site=0.2/write#2:error=EIO", "site=0.2/write#5+:error=EIO:limit=2")
    decides = RulesDecider(Scenario(parse_rules(texts)), 1)
    assert calls(decides, FakeTask("0"), "write", 9) == []
    assert calls(decides, FakeTask("0.2"), "read", 9) == []
    task = FakeTask("0.2")
    assert calls(decides, task, "write", 9) == [2, 5, 6]
    decides.forget(task)
    one, other = decides.totals()
    assert (one.seen, one.matched, one.fired) == (1, 1, 1)
    assert (other.matched, other.fired) == (5, 2)


def test_rules_in_file_order_though_sites_are_looked_up() -> None:
    texts = ("write:error=EIO:when=2+", "site=0/write#2:error=EPERM", "site=0/write#1:error=EPERM")
    decides = RulesDecider(Scenario(parse_rules(texts)), 1)
    task = FakeTask("0")
    errnos = []
    for number in (1, 2, 3):
        task.calls["write"] = number
        order = decides.decide(FakeCall("write", task))
        errnos.append(order.errno if order else "")
    assert errnos == ["EPERM", "EIO", "EIO"]
    assert [dict(one.preempted) for one in decides.totals()] == [{}, {"rule-1": 1}, {}]


def test_what_was_never_reached_says_how_far_it_came() -> None:
    decides = RulesDecider(Scenario(parse_rules(("site=0/write#7:error=EIO",))), 1)
    task = FakeTask("0")
    assert calls(decides, task, "write", 4) == []
    decides.forget(task)
    (totals,) = decides.totals()
    assert (totals.seen, totals.matched) == (4, 0)


def test_damage_that_leaves_nothing_to_the_seed() -> None:
    (rule,) = parse_rule("site=0/read#1:corrupt=random 0.123456789012345e-5")
    assert rule.fault.outcome == Corrupt("random", 0.123456789012345e-5)
    assert parse_rule(rule.text) == (rule,)
    for seed in (1, 2):
        task = FakeTask(calls={"read": 1})
        order = RulesDecider(Scenario((rule,)), seed).decide(FakeCall("read", task))
        assert order is not None
        assert order.chance == 0.123456789012345e-5
    assert refused("site=0/read#1:corrupt=bitflip 1") == [(23, "corrupt: 'bitflip 1' is no damage")]
