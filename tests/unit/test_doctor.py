"""`inject doctor` and the verdict, with findings of machines that are not at hand."""

import dataclasses
import json

import pytest
from click.testing import CliRunner

from injector.faces.cli import doctor as face
from injector.linux.probe import TOPICS, Finding, State, can_run, verdict
from injector.linux.probe.verdict import LIMITS, NEEDS

EVERY = [topic for topics in TOPICS.values() for topic in topics]


def machine(**states):
    """Findings of a machine on which all is well, but for these topics (with _ for -)."""
    wrong = {topic.replace("_", "-"): state for topic, state in states.items()}
    assert wrong.keys() <= set(EVERY)
    return tuple(
        Finding(topic, wrong.get(topic, State.OK), f"{topic}.", "Detail.", "remedy")
        for topic in EVERY
    )


def engines(**states):
    return {engine.name: engine for engine in verdict(machine(**states))}


@pytest.fixture
def run(monkeypatch):
    """Run the command on these findings instead of this machine's."""

    def invoke(findings, *arguments, **environment):
        monkeypatch.setattr(face, "probe", lambda: findings)
        return CliRunner().invoke(face.doctor, arguments, env=environment, catch_exceptions=False)

    return invoke


# The verdict.


def test_topics_are_unique_and_known_to_the_verdict():
    assert len(EVERY) == len(set(EVERY))
    named = {t for deeds in NEEDS.values() for topics in deeds.values() for t in topics}
    assert named | {t for topics in LIMITS.values() for t in topics} <= set(EVERY)


def test_all_well():
    for engine in engines().values():
        assert (engine.state, engine.run, engine.attach) == (State.OK, True, True)
        assert engine.lacks == engine.limits == ()


@pytest.mark.parametrize(
    ("missing", "can"),
    [
        ("user_notification", "ptrace run, ptrace attach"),
        ("pidfd_getfd", "ptrace run, ptrace attach"),
        ("attach", "notify run, ptrace run"),
        ("ptrace_seize", "notify run"),
        ("ptrace_syscall_info", "notify run, notify attach"),
        ("python_ptrace", "notify run, notify attach"),
        ("libseccomp", "ptrace attach"),
        ("kernel", ""),
        ("yama", "notify run, notify attach, ptrace run, ptrace attach"),
        ("proc_mem", "notify run, notify attach, ptrace run, ptrace attach"),
        ("libunwind", "notify run, notify attach, ptrace run, ptrace attach"),
    ],
)
def test_what_a_missing_topic_costs(missing, can):
    found = engines(**{missing: State.MISSING})
    able = [
        f"{engine.name} {deed}"
        for engine in found.values()
        for deed in ("run", "attach")
        if getattr(engine, deed)
    ]
    assert ", ".join(able) == can
    assert can_run(found.values()) == (" run" in can)


def test_a_topic_that_could_not_be_tried_is_not_had():
    assert not engines(ptrace_syscall_info=State.INFO)["ptrace"].run


def test_attach_to_descendants_only_is_a_limit_of_both():
    for engine in engines(attach=State.LIMITED).values():
        assert engine.state is State.LIMITED
        assert (engine.run, engine.attach) == (True, False)
        assert "attach" in engine.lacks


def test_a_loss_is_named_for_the_engine_that_has_it():
    found = engines(wait_killable=State.LIMITED, suspend_seccomp=State.LIMITED)
    assert found["notify"].limits == ("wait-killable",)
    assert found["ptrace"].limits == ("suspend-seccomp",)


def test_no_findings_no_engine():
    assert not can_run(verdict(()))


# The report.


def test_exit_status(run):
    assert run(machine()).exit_code == 0
    assert run(machine(user_notification=State.MISSING)).exit_code == 0
    assert run(machine(libseccomp=State.MISSING)).exit_code == 125
    assert run(machine(ptrace_seize=State.MISSING)).exit_code == 0
    assert run(machine(libseccomp=State.MISSING)).exit_code == 125
    assert run(machine(libseccomp=State.MISSING), "--json").exit_code == 125


def test_what_to_do_is_said_only_where_something_is_to_be_done(run):
    assert "remedy" not in run(machine()).stdout
    for state in (State.LIMITED, State.MISSING, State.INFO):
        lines = run(machine(pidfd_info=state)).stdout.splitlines()
        at = lines.index(next(line for line in lines if "pidfd-info." in line))
        assert [line.strip() for line in lines[at + 1 : at + 3]] == ["Detail.", "-> remedy"]


def test_columns_are_aligned_and_lines_have_no_blanks_at_the_end(run):
    states = {topic.replace("-", "_"): State.MISSING for topic in EVERY[::2]}
    lines = run(machine(**states)).stdout.splitlines()
    shown = [line for line in lines if line.endswith(".") and line.startswith("  ")]
    assert len({line.rindex(" ") for line in shown}) == 1
    assert not [line for line in lines if line != line.rstrip()]
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("columns", [1, 40, 72, 200])
def test_any_width_loses_no_word(run, columns):
    text = "a summary of more than a few words that has to be wrapped somewhere on its way"
    findings = (Finding("kernel", State.MISSING, text, text.upper(), text.title()),)
    output = " ".join(run(findings, COLUMNS=str(columns)).stdout.split())
    assert text in output
    assert text.upper() in output
    assert f"-> {text.title()}" in output


def test_the_verdict_names_engines_and_what_they_lack(run):
    output = run(machine(pidfd_getfd=State.MISSING, no_new_privs=State.LIMITED)).stdout
    after = output.partition("Verdict\n")[2]
    words = " ".join(after.split())
    assert "missing notify cannot be used for lack of: pidfd-getfd" in words
    assert "limited ptrace can run and attach limited by: no-new-privs" in words
    assert words.endswith("inject run works here with --engine ptrace.")


def test_the_verdict_when_nothing_works(run):
    output = run(machine(kernel=State.MISSING)).stdout
    assert output.endswith("inject run cannot work here; what is missing is said above.\n")


def test_texts_of_others_cannot_draw(run):
    findings = (Finding("kernel", State.INFO, "[red]x\x1b[31m", "\udcff é", "a\rb"),)
    output = run(findings).stdout
    assert "[red]x\\x1b[31m" in output
    assert "\\xff é" in output
    assert "a\\rb" in output


def test_json(run):
    findings = machine(libseccomp=State.MISSING)
    document = json.loads(run(findings, "--json").stdout)
    assert document["run"] is False
    assert document["findings"] == [dataclasses.asdict(finding) for finding in findings]
    assert [engine["name"] for engine in document["engines"]] == ["notify", "ptrace"]
    assert document["engines"][0] == {
        "name": "notify",
        "state": "missing",
        "run": False,
        "attach": False,
        "lacks": ["libseccomp"],
        "limits": [],
    }


def test_help_has_an_example():
    output = CliRunner().invoke(face.doctor, ["--help"]).stdout
    assert "Examples:\n    inject doctor" in output
    assert "125" in output
