"""Yama: whom the kernel lets us trace, read the memory of and take descriptors from.

Documentation/admin-guide/LSM/Yama.rst; security/yama/yama_lsm.c: its ptrace_scope is asked
wherever PTRACE_MODE_ATTACH is (ptrace(2)), so also by /proc/PID/mem and pidfd_getfd(2).
"""

from __future__ import annotations

from dataclasses import dataclass

from injector.linux import procfs

CAP_SYS_PTRACE = 19  # linux/capability.h
_RESTART = "restart the machine with kernel.yama.ptrace_scope below 3; it cannot be lowered"


@dataclass(frozen=True, slots=True)
class Yama:
    """What is in force for us.

    `scope` is 0 without Yama; `exempt`: we have CAP_SYS_PTRACE, which scopes 1 and 2 accept.
    As a string: the rule, in words.
    """

    scope: int
    exempt: bool

    @property
    def only_descendants(self) -> bool:
        """Whether a process of the target is out of reach once its parents are gone."""
        return self.scope == 1 and not self.exempt

    @property
    def forbids_children(self) -> bool:
        """Whether even a child of ours may not be looked into."""
        return self.scope == 3 or (self.scope == 2 and not self.exempt)

    @property
    def forbids_others(self) -> bool:
        """Whether a process that we did not start may not be attached to."""
        return self.only_descendants or self.forbids_children

    def __str__(self) -> str:
        """Return the rule, in words."""
        whom = (
            "any process of the same user may be traced",
            "only descendants may be traced",
            "nothing without CAP_SYS_PTRACE may be traced",
            "nothing may be traced",
        )
        return f"Yama's ptrace_scope is {self.scope}, {whom[min(self.scope, 3)]}"

    def remedy_for_children(self) -> str:
        """Return what to do for `inject run`, "" where Yama is not in its way."""
        if not self.forbids_children:
            return ""
        if self.scope == 3:
            return _RESTART
        return "sudo sysctl kernel.yama.ptrace_scope=1, or run inject as root"

    def remedy_for_others(self) -> str:
        """Return what to do for `inject attach`, "" where Yama is not in its way."""
        if not self.forbids_others:
            return ""
        if self.scope == 3:
            return _RESTART
        text = "sudo sysctl kernel.yama.ptrace_scope=0, or run inject attach as root"
        return f"{text}; inject run needs neither" if self.scope == 1 else text


def here() -> Yama:
    """Return what is in force for this process now."""
    return Yama(procfs.yama_scope(), procfs.capable(CAP_SYS_PTRACE))
