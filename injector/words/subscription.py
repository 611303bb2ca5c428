"""What a filter is asked to stop: calls by number, with tests the kernel can make.

Rules make subscriptions, the linux floor turns them into BPF. A subscription
may let through more than its rule wants, never less: the rule tests again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Op(enum.Enum):
    """Comparison of one 64-bit unsigned argument (seccomp_rule_add(3))."""

    EQ = "=="
    GE = ">="
    LE = "<="
    MASKED_EQ = "&=="


@dataclass(frozen=True, slots=True)
class Comparison:
    """`argument[index] op value`; MASKED_EQ first takes `argument & mask`."""

    index: int
    op: Op
    value: int
    mask: int = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Subscription:
    """Calls with this number, if all comparisons hold."""

    number: int
    comparisons: tuple[Comparison, ...] = ()
