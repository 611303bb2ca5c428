"""Other tools' expressions become scenarios that can be loaded, with a note where they differ."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.rules.scenario import from_passenger, from_strace
from injector.rules.scenario.imported import Imported, as_glob
from injector.rules.scenario.load import load_text
from injector.words.errors import InjectError, ScenarioError
from injector.words.model import Fail, Globs, Return, Rule, When


def loaded(found: Imported) -> tuple[Rule, ...]:
    """Return the rules of the file, which are those that were made."""
    rules = load_text(found.text()).rules
    if not any("\udcff" in rule.text for rule in found.rules):  # no text file has that
        assert rules == found.rules
    return rules


def strace(*words: str) -> tuple[Rule, ...]:
    return loaded(from_strace.translate(words))


def passenger(text: str) -> tuple[Rule, ...]:
    return loaded(from_passenger.translate(text))


@pytest.mark.parametrize(
    "words",
    [
        ("inject=openat:error=EIO:when=2",),
        ("-e", "inject=openat:error=EIO:when=2"),
        ("-einject=openat:error=EIO:when=2",),
        ("--inject=openat:error=EIO:when=2",),
        ("--inject", "openat:error=EIO:when=2"),
        ("--fault=openat:error=EIO:when=2",),
        ("strace -e inject=openat:error=EIO:when=2 cat /x",),
        ("strace", "-fe", "inject=openat:error=EIO:when=2", "-o", "out", "--", "cat", "/x"),
        ("/usr/bin/strace", "-ff", "-s80", "-e", "inject=openat:error=EIO:when=2", "cat", "-e"),
        ("strace --output out -e signal=none --inject 'openat:error=EIO:when=2' cat",),
    ],
)
def test_an_expression_is_found_wherever_it_stands(words: tuple[str, ...]) -> None:
    (rule,) = strace(*words)
    assert rule.match.syscalls == {"openat"}
    assert rule.fault.outcome == Fail((("EIO", 1.0),))
    assert rule.when == When(2, 2)


def test_calls_that_are_counted_each_for_itself_are_a_rule_each() -> None:
    rules = strace("inject=read,write:error=EIO:when=3+")
    assert [(rule.name, rule.match.syscalls_text) for rule in rules] == [
        ("read", "read"),
        ("write", "write"),
    ]
    text = from_strace.translate(["inject=read,write:error=EIO:when=3+"]).text()
    assert "counts each call for itself" in text


def test_calls_that_need_no_count_are_one_rule() -> None:
    (rule,) = strace("inject=%file:error=EIO")
    assert (rule.name, rule.match.syscalls_text) == ("file", "%file")
    (rule,) = strace("inject=/^pre,close:error=EIO")
    assert {"pread64", "preadv", "close"} <= rule.match.syscalls
    assert rule.fault.call == "skip"  # strace does not make the close
    (rule,) = strace("inject=all:retval=0")
    assert rule.fault.outcome == Return(0)
    assert rule.match.syscalls_text == "all"


def test_only_what_is_traced_is_changed() -> None:
    found = from_strace.translate(["strace -e trace=openat -e fault=openat,read -e fault=fsync ls"])
    (rule,) = loaded(found)
    assert rule.match.syscalls == {"openat"}
    assert "Left out: read, fsync, for strace changes only calls that trace= names." in found.head
    with pytest.raises(InjectError, match="trace=none leaves no fault"):
        from_strace.translate(["strace -e trace=none -e fault=openat ls"])
    (rule,) = strace("strace -e openat -e fault=%file ls")
    assert rule.match.syscalls == {"openat"}


def test_paths_are_those_paths_only() -> None:
    (rule,) = strace(
        "strace", "-P", "/a*b", "--trace-path=c/d[1]", "-P", "e", "-e", "fault=openat", "ls"
    )
    assert rule.match.path == Globs(("/a[*]b", "**/c/d[[]1]", "e"))


def test_no_two_rules_have_one_name() -> None:
    rules = strace("strace -f -e inject=/^pread:error=EIO -e inject=/^prea:retval=0:when=2 ls")
    assert len({rule.name for rule in rules}) == len(rules)
    one, other = strace("strace -f -e inject=/read$:error=EIO -e inject=/^write:error=EIO ls")
    assert (one.name, other.name) == ("read", "write")
    rules = strace("strace -f -e inject=/^read:error=EIO -e inject=read:retval=0 ls")
    assert sorted(rule.name for rule in rules) == ["read", "read-2"]
    rules = passenger("a b=EIO:1;a-b=EIO:1;a\tb=EIO:1;\udcff=EIO:1")
    assert [rule.name for rule in rules] == ["a-b", "a-b-2", "a-b-3", "rule"]


def test_a_later_expression_replaces_an_earlier_one() -> None:
    found = from_strace.translate(
        ["strace -f -e inject=openat:error=EIO -e inject=openat:error=EPERM:when=2 ls"]
    )
    (rule,) = loaded(found)
    assert rule.fault.outcome == Fail((("EPERM", 1.0),))
    assert any(line.startswith("Left out: inject=openat:error=EIO,") for line in found.head)


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ("strace -e fault=openat ls 'a b'", "Run it with: inject run FILE -- ls 'a b'"),
        ("strace -p 12 -e fault=openat", "Run it with: inject attach 12 FILE"),
        ("strace -e fault=openat ls", "strace without -f"),
        ("strace -e fault=openat ls", "during: startup"),
        ("strace -u me -e fault=openat ls", "as user me"),
        ("strace -E A=1 -E 'B=a b' -e fault=openat ls", "A=1 'B=a b'"),
        ("strace -b execve -e fault=openat ls", "-b"),
        ("strace --kill-on-exit -e fault=openat ls", "--kill-on-exit"),
        ("strace --trace-fds=3 -e fault=openat ls", "descriptors 3"),
    ],
)
def test_what_is_another_there_is_noted(words: str, note: str) -> None:
    text = " ".join(from_strace.translate([words]).head)
    assert note in text


def test_with_f_there_is_no_note_about_children() -> None:
    for follow in ("-f", "-ff", "--follow-forks", "-qf"):
        head = from_strace.translate([f"strace {follow} -e fault=openat ls"]).head
        assert "without -f" not in " ".join(head)


@pytest.mark.parametrize("words", ["ls -l", "strace ls", "strace -e trace=read ls", "strace -e"])
def test_without_a_fault_there_is_nothing_to_import(words: str) -> None:
    with pytest.raises(InjectError):
        from_strace.translate([words])


def test_the_mistakes_of_an_expression_are_told() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'write'"):
        from_strace.translate(["strace -e inject=wirte:error=EIO ls"])
    with pytest.raises(ScenarioError, match="no system call 'wirte'"):
        from_strace.translate(["strace -e trace=wirte -e fault=read ls"])
    with pytest.raises(InjectError, match="no command line"):
        from_strace.translate(["strace -e 'fault=read ls"])


def test_passenger_names_processes_and_errors() -> None:
    core, watchdog = passenger(
        "PassengerAgent core=EMFILE:0.001,ECONNREFUSED:0.02;PassengerWatchdog=ENOSPC:0.01"
    )
    assert core.match.process == Globs(("PassengerAgent core", "PassengerAgent core *"))
    assert core.fault.outcome == Fail((("EMFILE", 0.1), ("ECONNREFUSED", 2.0)))
    assert core.probability == pytest.approx(0.021)
    assert core.fault.call == "skip"
    assert {"openat", "accept", "wait4", "close"} <= core.match.syscalls
    assert "fork" not in core.match.syscalls
    assert (watchdog.name, watchdog.probability) == ("PassengerWatchdog", 0.01)
    assert watchdog.match.process == Globs(("PassengerWatchdog",))


def test_chances_sum_up_here_and_it_is_said() -> None:
    found = from_passenger.translate("a=EMFILE:0.1,ECONNREFUSED:0.25;b=EIO:1")
    first, second = loaded(found)
    assert (first.probability, second.probability) == (0.35, 1)
    (note,) = found.notes["a"]
    assert "sum up here, to 35%" in note
    assert "25% of its calls fail" in note
    assert found.notes["b"] == []
    (rule,) = passenger("a=EIO:0.9,EPERM:0.6")
    assert rule.probability == 1
    assert rule.fault.outcome == Fail((("EIO", 90.0), ("EPERM", 60.0)))


@pytest.mark.parametrize("left_out", ["EWHAT:0.1", "ESPIPE=0.4", "EIO:2", "EIO:x", "EIO", "EIO:0"])
def test_what_passenger_leaves_out_is_left_out_and_noted(left_out: str) -> None:
    found = from_passenger.translate(f"a=EMFILE:0.1,{left_out}")
    (rule,) = loaded(found)
    assert rule.fault.outcome == Fail((("EMFILE", 1.0),))
    assert f"{left_out} (" in found.notes["a"][0]
    with pytest.raises(InjectError, match="no failure is left"):
        from_passenger.translate(f"a={left_out}")


def test_passenger_takes_the_first_list_of_a_program() -> None:
    found = from_passenger.translate("a=EMFILE:0.1;a=EIO:1")
    (rule,) = loaded(found)
    assert rule.fault.outcome == Fail((("EMFILE", 1.0),))
    assert any("second list" in line for line in found.head)


def test_the_line_of_a_shell_is_read_too() -> None:
    found = from_passenger.translate(
        "export PASSENGER_RANDOM_SEED=7 PASSENGER_SIMULATE_SYSCALL_FAILURES='a b=EIO:0.5'"
    )
    (rule,) = loaded(found)
    assert found.seed == 7
    assert rule.name == "a-b"
    for wrong in ("PASSENGER_SIMULATE_SYSCALL_FAILURES", "PASSENGER_SIMULATE_SYSCALL_FAILURES='a"):
        with pytest.raises(InjectError):
            from_passenger.translate(wrong)


@pytest.mark.parametrize("text", ["x", "=EIO:1", "a=", ";", "a=;b="])
def test_what_is_no_simulation_is_refused(text: str) -> None:
    with pytest.raises(InjectError):
        from_passenger.translate(text)


@pytest.mark.parametrize("text", ["a*b", "[x]", "?", "!x", "a]b", "x[!y]"])
def test_a_text_as_a_glob_matches_itself(text: str) -> None:
    from injector.rules.globs import matcher

    assert matcher(Globs((as_glob(text),)))(text)
    assert not matcher(Globs((as_glob(text),)))("axxb")


pieces = st.sampled_from(
    [
        *" '\"\\-=:,;!%/*?[]{}#\n\t@.0159x",
        *(" -e ", " -P ", " --", "strace ", "inject=", "fault=", "trace=", "openat", "read", "all"),
        *("error=", "EIO", ":when=", "2+", "retval=0", "PASSENGER_SIMULATE_SYSCALL_FAILURES="),
        *("core", "EMFILE:0.1", "ENOSPC:0.5", "PASSENGER_RANDOM_SEED=", "\udcff", "none"),
    ]
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(pieces, max_size=20).map("".join))
def test_any_text_is_imported_or_a_told_mistake(text: str) -> None:
    for translate in (
        from_passenger.translate,
        lambda one: from_strace.translate([one]),
        lambda one: from_strace.translate(one.split(" ")),
    ):
        try:
            found = translate(text)
        except InjectError as error:
            assert str(error)
        else:
            loaded(found)


def test_a_text_of_which_no_rule_is_left_is_told() -> None:
    with pytest.raises(InjectError, match=r"no rule is left of it\. Left out: fault=\?, for"):
        from_strace.translate(["fault=?"])
