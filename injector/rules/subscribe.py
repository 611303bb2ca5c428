"""What a filter must stop for a scenario: calls by number, per architecture. Pure.

Tests of arguments that the kernel can make go into the filter, if every rule on
a call has one. A filter may stop more than the rules want, never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from injector.words.model import FdSet, Masked, Match, Range
from injector.words.subscription import Comparison, Op, Subscription
from injector.words.syscalls import Arch, Kind, native, signature

_FULL = 0xFFFF_FFFF_FFFF_FFFF


def _comparisons(match: Match, name: str, arch: Arch) -> tuple[Comparison, ...]:
    """Return one comparison per argument at most (libseccomp's limit), () if none can be made."""
    found = signature(name, arch)
    if found is None:
        return ()
    made: dict[int, Comparison] = {}
    for pattern in match.args:
        index = found.index(pattern.parameter)
        if index is None:
            continue
        parameter = found.parameters[index]
        width = min(parameter.bits, arch.bits)
        for test in pattern.tests:
            match test:
                case Masked(mask, value, negated=False):
                    cut = (1 << width) - 1
                    comparison = Comparison(index, Op.MASKED_EQ, value & cut, mask & cut)
                # The upper half of a 32-bit argument is the program's rubbish, which
                # the kernel ignores and an ordered comparison of 64 bits would not.
                case Range(low, high) if width == 64 and not parameter.signed:
                    if low is not None and low > 0:
                        comparison = Comparison(index, Op.GE, low)
                    elif high is not None and high >= 0:
                        comparison = Comparison(index, Op.LE, high)
                    else:
                        continue
                case _:
                    continue
            made.setdefault(index, comparison)
    fd = _one_fd(match)
    places = [i for i, one in enumerate(found.parameters) if one.kind in (Kind.FD, Kind.DIRFD)]
    if fd is not None and len(places) == 1:
        made.setdefault(places[0], Comparison(places[0], Op.MASKED_EQ, fd, 0xFFFF_FFFF))
    return tuple(made.values())


def _one_fd(match: Match) -> int | None:
    match match.fd:
        case FdSet((Range(low, high),), kinds) if low == high and not kinds:
            return None if low is None else low & 0xFFFF_FFFF
        case _:
            return None


def subscriptions(
    matches: Iterable[Match], always: Iterable[str], arches: Iterable[Arch]
) -> Mapping[Arch, list[Subscription]]:
    """Return what to stop: what rules match, by name, and `always` without conditions."""
    wanted: dict[Arch, list[Subscription]] = {}
    unconditional = set(always)
    matches = list(matches)
    for arch in arches:
        plain: set[str] = {name for name in unconditional if name in arch.numbers}
        tested: dict[str, set[tuple[Comparison, ...]]] = {}
        for match in matches:
            for name in match.syscalls:
                if name not in arch.numbers:
                    continue
                # The number of a site counts every call of its name.
                comparisons = () if match.site else _comparisons(match, name, arch)
                if comparisons:
                    tested.setdefault(name, set()).add(comparisons)
                else:
                    plain.add(name)
        found = [Subscription(arch.numbers[name]) for name in plain]
        for name, sets in tested.items():
            if name in plain:
                continue
            # One set of tests is sure to be expressed exactly; several on one call
            # are left to the rules, since libseccomp chains them in ways that differ.
            tests = next(iter(sets)) if len(sets) == 1 else ()
            found.append(Subscription(arch.numbers[name], tests))
        wanted[arch] = sorted(found, key=lambda one: one.number)
    return wanted


def unconditional(wanted: Mapping[Arch, list[Subscription]]) -> frozenset[str]:
    """Return the calls that a filter stops whatever their arguments: a rule may be added for them.

    Those that rules name with tests the kernel makes are left out; it makes them for the machine's
    own architecture only.
    """
    ours = native()
    tested = {ours.names[one.number] for one in wanted[ours] if one.comparisons}
    stopped = {arch.names[one.number] for arch, found in wanted.items() for one in found}
    return frozenset(stopped - tested)
