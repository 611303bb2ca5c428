"""The law of the written file: what it is loaded to is the scenario that was written."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.rules.scenario.load import load_scenario, load_text, shipped
from injector.rules.scenario.oneline import parse_rule, parse_rules
from injector.rules.scenario.write import one_line, yaml_text
from injector.words.model import Globs, Rule, Scenario
from injector.words.syscalls import ARCHES, GROUPS

from .test_scenario_rules import rules


def same(scenario: Scenario) -> Scenario:
    """Write, load, and compare; return what was loaded."""
    again = load_text(yaml_text(scenario))
    assert again.rules == scenario.rules
    assert (again.name, again.about, again.seed) == (scenario.name, scenario.about, scenario.seed)
    return again


def of(*texts: str) -> Scenario:
    return Scenario(parse_rules(texts))


@settings(max_examples=500, deadline=None)
@given(rules)
def test_a_written_rule_is_loaded_as_it_was(keys: dict[str, Any]) -> None:
    scenario = load_text(json.dumps({"rules": [keys]}, ensure_ascii=False))
    same(scenario)
    (rule,) = scenario.rules
    assert parse_rule(one_line(rule)) == (rule,)


hostile = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)


@settings(max_examples=500, deadline=None)
@given(st.lists(hostile.filter(lambda text: not text.startswith("!")), min_size=1), hostile)
def test_no_path_or_name_breaks_the_file(paths: list[str], about: str) -> None:
    (rule,) = parse_rule("openat:error=EIO")
    globs = Globs(tuple(paths), (paths[0],))
    rule = replace(rule, match=replace(rule.match, path=globs, process=globs))
    rule = replace(rule, text=one_line(rule))
    same(Scenario((rule,), name="x", about=about))
    assert parse_rule(rule.text) == (rule,)


@pytest.mark.parametrize(
    "text",
    [
        *(":", ",", '"', "'", "*", "a: b", "a #b", "#a", "- a", "[a", "{a}", "a,b", "null", "~"),
        *("true", "No", "yes", "0x10", "1e3", "012", ".inf", "=", "<<", "&a", "*a", "!!str", "@a"),
        *("`a", "%a", "|", ">", "a\\", "\\", "a\tb", "a\nb", "\x7f", "\x85", "\u2028", "\ufeff"),
        *("grüße", "\U0001f4be", " a", "a ", "  ", "---", "...", "?", "? a", "a?"),
    ],
)
def test_what_yaml_would_take_for_something_else_is_quoted(text: str) -> None:
    (rule,) = parse_rule("openat:error=EIO:name=x")
    globs = Globs(("b",), (text[1:],)) if text[0] == "!" else Globs((text, "b"))
    rule = replace(rule, match=replace(rule.match, path=globs))
    same(Scenario((replace(rule, text=one_line(rule)),), name=text, about=text))


@pytest.mark.parametrize("name", [one.name for one in shipped()])
def test_shipped_scenarios_are_written_as_they_were(name: str) -> None:
    same(replace(load_scenario(name), seed=42))


@pytest.mark.parametrize(
    "expression",
    [
        "inject=all:error=EIO",
        "inject=!read:retval=0:when=3+2",
        "fault=/^open",
        "inject=close:error=EIO",
        "inject=%network,?nothing:delay_enter=10:delay_exit=2s:signal=RT_2",
        "inject=read,write:syscall=getpid:poke_enter=@arg1=00ff,@arg2=01:poke_exit=@arg1=aa",
        "inject=chdir:retval=0xffffffffffffffff:when=2..7+3",
        "inject=chdir:error=4095",
        *(f"inject=%{name}:error=ENOSYS" for name in sorted(GROUPS)),
    ],
)
def test_every_expression_of_strace_can_be_kept_as_a_file(expression: str) -> None:
    scenario = of(expression)
    if scenario.rules:
        same(scenario)


def test_every_call_of_every_architecture_can_be_written() -> None:
    names = sorted({name for arch in ARCHES.values() for name in arch.numbers})
    same(of("all:delay=1s"))
    same(of(",".join(names) + ":delay=1s"))


@pytest.mark.parametrize("site", ["0.2/openat#3", "0/write#1+", "0.10.1/mmap#70000"])
def test_a_site_is_written(site: str) -> None:
    same(of(f"site={site}:error=EIO:name=one"))
    name = site.partition("/")[2].partition("#")[0]
    same(of(f"{name}:site={site}:path=/x:error=EIO:name=one"))


def test_it_is_written_as_a_person_would() -> None:
    scenario = Scenario(
        parse_rules(
            [
                "write,pwrite64:path=/var/lib/app/wal/**,!/x:when=3+:probability=5%"
                ":error=ENOSPC@9,EDQUOT@1:name=wal-enospc",
                "*:error=EMFILE:limit=10:name=12",
                "openat:args.flags=O_CREAT|O_EXCL:args.mode=>1,<9:during=startup:delay=1ms..2ms"
                ":freeze=true:name=late",
                "read:error=EIO:name=gone",
            ]
        ),
        name="wal-disk-full",
        about="The disk fills up, while the log is written.",
        seed=42,
    )
    text = yaml_text(scenario, head=["What it is."], comments={"late": ["Mended."]}, off={"gone"})
    assert (
        text
        == """\
# What it is.
name: wal-disk-full
about: The disk fills up, while the log is written.
seed: 42
rules:
  - name: wal-enospc
    syscalls: [write, pwrite64]
    path: ["/var/lib/app/wal/**", "!/x"]
    when: 3+
    probability: 5%
    error: {ENOSPC: 9, EDQUOT: 1}
  - name: "12"
    limit: 10
    error: EMFILE
  # Mended.
  - name: late
    syscalls: openat
    args: {flags: O_CREAT|O_EXCL, mode: [">1", "<9"]}
    during: startup
    delay: 1ms..2ms
    freeze: true
  # - name: gone
  #   syscalls: read
  #   error: EIO
"""
    )
    assert load_text(text).rules == scenario.rules[:3]


def test_a_rule_in_comments_is_right_once_its_marks_are_gone() -> None:
    scenario = of("read:error=EIO:path=/a b#c:name=one", "write:error=EIO:name=two")
    text = yaml_text(scenario, off={"one", "two"})
    lines = [line.replace("# ", "", 1) for line in text.splitlines()]
    assert load_text("\n".join(lines)).rules == scenario.rules


def test_no_comment_ends_early() -> None:
    scenario = of("read:error=EIO:name=one")
    nasty = "a\nrules: []\r\x85\u2028- x"
    assert load_text(yaml_text(scenario, head=[nasty], comments={"one": [nasty]})).rules


def test_bytes_that_are_no_text_are_any_character() -> None:
    (rule,) = parse_rule("openat:path=/a/\udcff:error=EIO:name=one")
    (again,) = load_text(yaml_text(Scenario((rule,)))).rules
    assert again.match.path == Globs(("/a/?",))
    assert isinstance(again, Rule)
