"""Builds the parameters of every call from the manual, python-ptrace's prototypes and hand.py.

The kernel's own order and number of parameters decide; the manual's names are the ones shown.
"""

import functools
import warnings

import hand
import kinds
import manpages

# name, kind, aliases, bits, signed, words, C type
Row = tuple[str, str, tuple[str, ...], int, bool, str, str]


@functools.cache
def _ptrace_prototypes() -> dict[str, list[tuple[str, str]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ptrace.syscall.prototypes import SYSCALL_PROTOTYPES  # type: ignore[import-untyped]
    return {name: list(parameters) for name, (_, parameters) in SYSCALL_PROTOTYPES.items()}


def _named(text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """A prototype of hand.py: (C type, name, aliases)."""
    found = []
    for piece in filter(None, text.split(", ")):
        head, *others = piece.split("/")
        [(kind, name)] = manpages.split_parameters(head)
        found.append((kind, name, tuple(others)))
    return found


def parameters(name: str, arch: str = "") -> list[Row] | None:
    """The rows of a call, or None when nothing documents it."""
    text = hand.OTHER_PROTOTYPES.get(arch, {}).get(name)
    if text is None and arch:
        return None
    name = hand.SAME_AS.get(name, name)
    text = text or hand.PROTOTYPES.get(name, hand.OLD_PROTOTYPES.get(name))
    if text is not None:
        return [_row(name, kind, kind, shown, also) for kind, shown, also in _named(text)]
    manual = manpages.prototypes().get(hand.MANUAL_NAME.get(name, name))
    kernel = _ptrace_prototypes().get(name)
    if kernel is None:
        if name in hand.NO_PARAMETERS:
            return None
        if manual is None:
            return None
        return [_row(name, kind, kind, shown, ()) for kind, shown in manual]
    rows = []
    for index, (kernel_type, kernel_name) in enumerate(kernel):
        if manual is not None and index < len(manual):
            kind, shown = manual[index]
        else:
            kind, shown = kernel_type, kernel_name
        rows.append(_row(name, kind, kernel_type, shown, (kernel_name,)))
    return rows


def _row(syscall: str, kind: str, kernel_type: str, name: str, others: tuple[str, ...]) -> Row:
    pointer = kinds.is_pointer(kind)
    # glibc hands an int over in a 64-bit register without a promise for its upper half, and the
    # kernel takes as much as its own type says: the narrower of the two is what can be compared.
    width = 64 if pointer else min(kinds.bits(kind), kinds.bits(kernel_type))
    aliases: list[str] = []
    for other in (*others, *hand.ALIASES.get(name, ())):
        if other and other != name and other not in aliases:
            aliases.append(other)
    words = "" if pointer else kinds.family(syscall, kind, name)
    what = kinds.kind(syscall, kind, name, width)
    return (name, what, tuple(aliases), width, not pointer and kinds.signed(kind), words, kind)
