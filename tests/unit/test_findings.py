"""Findings from trials that go as they do on other machines."""

import errno
import re

import pytest

from injector.linux import yama
from injector.linux.probe import State, blind, host, notify, trace
from injector.linux.probe.trial import Attempt, describe
from injector.rules.scenario.oneline import parse_rule
from injector.words.syscalls import AARCH64, I386, X86_64

RULE = re.compile(r"-e (\S+)")


@pytest.fixture
def elsewhere(monkeypatch):
    """Say how the trials of a module go, and what kind of machine it is."""

    def arrange(module, tried, *, scope=0, contained=False, capable=False):
        monkeypatch.setattr(module, "attempt", lambda _body: tried)
        monkeypatch.setattr(yama, "here", lambda: yama.Yama(scope, capable))
        monkeypatch.setattr(host, "container_hints", lambda: ("/.dockerenv",) * contained)

    return arrange


def failed(number, **facts):
    return Attempt(facts, number, describe(number))


def by_topic(findings):
    return {finding.topic: finding for finding in findings}


def test_an_old_kernel_has_no_listener(elsewhere):
    elsewhere(notify, failed(errno.EINVAL))
    found = by_topic(notify.notification())
    assert found["user-notification"].state is State.MISSING
    assert "EINVAL" in found["user-notification"].summary
    assert "5.5" in found["user-notification"].detail
    assert found["sync-wake-up"].state is State.INFO


def test_another_listener(elsewhere):
    elsewhere(notify, failed(errno.EBUSY))
    found = by_topic(notify.notification())["user-notification"]
    assert (found.state, found.remedy) == (
        State.MISSING,
        "use --engine ptrace, or run outside of it",
    )
    assert "EBUSY" in found.summary


def test_a_kernel_before_wait_killable(elsewhere):
    elsewhere(notify, failed(errno.EINVAL))
    assert notify.wait_killable().state is State.LIMITED
    elsewhere(notify, failed(errno.EBUSY))
    assert notify.wait_killable().state is State.INFO


def test_a_container_that_forbids_pidfd_getfd(elsewhere):
    facts = {"listening": True, "pidfd_open": 0, "pidfd_getfd": errno.EPERM, "sync_wake_up": False}
    facts |= dict.fromkeys(("named", "valid", "proceeded", "failed"), True)
    elsewhere(notify, Attempt(facts), contained=True)
    found = by_topic(notify.notification())
    assert found["user-notification"].state is State.OK
    assert found["pidfd-getfd"].state is State.MISSING
    assert "--cap-add=SYS_PTRACE" in found["pidfd-getfd"].remedy
    assert found["sync-wake-up"].state is State.LIMITED


def test_a_listener_that_answers_wrong(elsewhere):
    facts = {"listening": True, "pidfd_open": 0, "pidfd_getfd": 0, "sync_wake_up": True}
    facts |= {"named": True, "valid": True, "proceeded": True, "failed": False}
    elsewhere(notify, Attempt(facts))
    found = by_topic(notify.notification())["user-notification"]
    assert found.state is State.MISSING
    assert "failed: False" in found.summary


def test_larger_notifications(elsewhere):
    elsewhere(notify, Attempt({"sizes": [88, 24, 72]}))
    assert notify.notif_sizes().state is State.LIMITED


@pytest.mark.parametrize(
    ("scope", "state", "remedy"),
    [(1, State.LIMITED, "ptrace_scope=0"), (2, State.MISSING, "ptrace_scope=0"),
     (3, State.MISSING, "restart")],
)  # fmt: skip
def test_yama_and_attach(elsewhere, scope, state, remedy):
    elsewhere(trace, failed(errno.EPERM), scope=scope)
    found = trace.attach()
    assert found.state is state
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("scope", "capable", "state"),
    [
        (0, False, State.OK),
        (1, False, State.LIMITED),
        (1, True, State.OK),
        (2, False, State.LIMITED),
        (2, True, State.OK),
        (3, True, State.MISSING),
    ],
)
def test_yama(elsewhere, monkeypatch, scope, capable, state):
    elsewhere(trace, Attempt(), scope=scope, capable=capable)
    monkeypatch.setattr(host, "read", lambda _path: str(scope))
    found = trace.yama()
    assert found.state is state
    assert f"ptrace_scope {scope}" in found.summary
    assert bool(found.remedy) == (state is not State.OK)


def test_no_tracing_in_an_old_container(elsewhere):
    elsewhere(trace, failed(errno.EPERM, tracer=0, filtered=""), contained=True)
    found = by_topic(trace.tracing())
    assert found["ptrace-seize"].state is State.MISSING
    assert "--cap-add=SYS_PTRACE" in found["ptrace-seize"].remedy
    others = {finding.state for topic, finding in found.items() if topic != "ptrace-seize"}
    assert others == {State.INFO}


def test_a_kernel_before_syscall_info(elsewhere):
    elsewhere(trace, failed(errno.EIO, stopped=True, suspend="", tracer=0, filtered=""))
    found = by_topic(trace.tracing())
    assert found["ptrace-seize"].state is State.OK
    assert found["ptrace-syscall-info"].state is State.MISSING
    assert "5.3" in found["ptrace-syscall-info"].detail


@pytest.mark.parametrize(
    ("arch", "bits", "fits"),
    [(X86_64, 8, True), (AARCH64, 8, True), (X86_64, 4, False), (I386, 4, False), (None, 8, False)],
)
def test_other_architectures(monkeypatch, arch, bits, fits):
    def native():
        if arch is None:
            raise LookupError
        return arch

    monkeypatch.setattr(host, "native", native)
    monkeypatch.setattr(host.struct, "calcsize", lambda _format: bits)
    assert host.supported() is fits
    assert host.kernel().state is (State.OK if fits else State.MISSING)


def test_rules_in_remedies_are_rules(elsewhere):
    elsewhere(blind, Attempt({"made": True}))
    remedies = (blind.io_uring().remedy, blind.mapped_files().remedy)
    for (text,) in map(RULE.findall, remedies):
        (rule,) = parse_rule(text)
        assert rule.fault.outcome is not None


def test_no_io_uring_is_no_blind_spot(elsewhere):
    elsewhere(blind, failed(errno.EPERM))
    assert blind.io_uring().state is State.OK
