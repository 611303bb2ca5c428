"""What each ptrace_scope of Yama forbids us, and what is said of it."""

import pytest

from injector.linux.yama import Yama


@pytest.mark.parametrize("exempt", [False, True])
def test_without_yama_nothing_is_forbidden(exempt: bool) -> None:
    rule = Yama(0, exempt)
    assert not (rule.only_descendants or rule.forbids_children or rule.forbids_others)
    assert rule.remedy_for_children() == rule.remedy_for_others() == ""


def test_scope_1_lets_children_be_looked_into_and_nobody_else() -> None:
    rule = Yama(1, False)
    assert rule.only_descendants and rule.forbids_others and not rule.forbids_children
    assert "only descendants" in str(rule)
    assert rule.remedy_for_children() == ""
    assert "ptrace_scope=0" in rule.remedy_for_others()
    assert "inject run needs neither" in rule.remedy_for_others()


def test_scope_2_asks_for_a_capability_of_run_too() -> None:
    rule = Yama(2, False)
    assert rule.forbids_children and rule.forbids_others and not rule.only_descendants
    assert "CAP_SYS_PTRACE" in str(rule)
    # 1 is enough for a child, not for a process that is none.
    assert "ptrace_scope=1" in rule.remedy_for_children()
    assert "ptrace_scope=0" in rule.remedy_for_others()
    assert "inject run" not in rule.remedy_for_others().removesuffix("run inject attach as root")


@pytest.mark.parametrize("scope", [1, 2])
def test_the_capability_lifts_scopes_1_and_2(scope: int) -> None:
    rule = Yama(scope, True)
    assert not (rule.only_descendants or rule.forbids_children or rule.forbids_others)


@pytest.mark.parametrize("exempt", [False, True])
def test_scope_3_stays_until_the_machine_restarts(exempt: bool) -> None:
    rule = Yama(3, exempt)
    assert rule.forbids_children and rule.forbids_others
    assert "sysctl" not in rule.remedy_for_children()
    assert "restart" in rule.remedy_for_children() and "restart" in rule.remedy_for_others()
