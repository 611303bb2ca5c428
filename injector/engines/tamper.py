"""What a fault changes in a call that is made: its arguments, and data in the target's memory.

Only worked out here; the engine applies a Change at the call's entry and undoes it at its
exit, so that the caller finds its memory and registers as it left them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from injector.engines.call import StoppedCall
from injector.words.model import Corrupt, Short
from injector.words.syscalls import GROUPS, Kind, signature

CLONE_UNTRACED = 0x0080_0000  # linux/sched.h
_IOV_MAX = 1024
_WRITES = GROUPS["write"] | GROUPS["send"]
_SPOILT = frozenset(
    {Kind.FD, Kind.DIRFD, Kind.PATH, Kind.STRING, Kind.POINTER, Kind.BUFFER, Kind.IOVEC}
    | {Kind.MSGHDR, Kind.SOCKADDR, Kind.TIME}
)


@dataclass(frozen=True, slots=True)
class Change:
    """Arguments (index, value) and memory (address, bytes) as they are to be."""

    arguments: tuple[tuple[int, int], ...] = ()
    memory: tuple[tuple[int, bytes], ...] = ()


class Segment(NamedTuple):
    """A piece of the program's memory that the call moves; `length_at` holds its length."""

    address: int
    length: int
    length_at: int


def writes(name: str) -> bool:
    """Return whether the data go from the program to the kernel."""
    return name in _WRITES


def _number(call: StoppedCall, address: int, size: int) -> int:
    return int.from_bytes(call.task.process.read(address, size), "little")


def _vector(call: StoppedCall, address: int, count: int) -> list[Segment]:
    """Read an array of struct iovec (readv(2))."""
    word = call.arch.bits // 8
    found = []
    raw = call.task.process.read(address, min(count, _IOV_MAX) * 2 * word)
    for at in range(0, len(raw) - 2 * word + 1, 2 * word):
        base = int.from_bytes(raw[at : at + word], "little")
        length = int.from_bytes(raw[at + word : at + 2 * word], "little")
        found.append(Segment(base, length, address + at + word))
    return found


def _message(call: StoppedCall, address: int) -> list[Segment]:
    """Read the vector of a struct msghdr (recvmsg(2)); its name is a pointer and a length."""
    word = call.arch.bits // 8
    vector = _number(call, address + 2 * word, word)
    return _vector(call, vector, _number(call, address + 3 * word, word))


def segments(call: StoppedCall) -> list[Segment]:
    """Return the memory that the call moves, in order; of several messages the first's."""
    known = signature(call.name, call.arch)
    if known is None:
        return []
    args = call.args
    for index, parameter in enumerate(known.parameters[:6]):
        match parameter.kind:
            case Kind.BUFFER:
                size = known.first(Kind.SIZE)
                return [] if size is None else [Segment(args[index], args[size], 0)]
            case Kind.IOVEC:
                return _vector(call, args[index], args[index + 1] & 0xFFFF_FFFF)
            case Kind.MSGHDR:
                return _message(call, args[index])
            case _:
                pass
    return []


def _wanted(short: Short, asked: int) -> int:
    if short.bytes is not None:
        return min(short.bytes, asked)
    return max(1, int(asked * (short.fraction or 1))) if asked else 0


def shorten(call: StoppedCall, short: Short) -> Change:
    """Return what makes the call transfer less; nothing where there is no less.

    Of a vector the lengths are changed: the whole array belongs to the call while it lasts.
    """
    known = signature(call.name, call.arch)
    if known is None:
        return Change()
    if known.first(Kind.IOVEC, Kind.MSGHDR) is None:
        index = known.first(Kind.SIZE)
        if index is None:
            return Change()
        asked = call.args[index] & ((1 << call.arch.bits) - 1)
        return Change(((index, _wanted(short, asked)),))
    vector = segments(call)
    rest = _wanted(short, sum(one.length for one in vector))
    word = call.arch.bits // 8
    memory = []
    for one in vector:
        length = min(one.length, rest)
        rest -= length
        if length != one.length:
            memory.append((one.length_at, length.to_bytes(word, "little")))
    if call.name in ("recvmmsg", "sendmmsg"):
        return Change(((2, min(1, call.args[2])),), tuple(memory))
    return Change((), tuple(memory))


def corrupt(call: StoppedCall, how: Corrupt, length: int, chance: float) -> Change:
    """Return damage to the first `length` bytes that the call moves.

    bitflip: one bit of them; zero and random: all of them. `chance` (0..1) chooses.
    """
    pieces = []
    for one in segments(call):
        size = min(one.length, length)
        if size > 0:
            pieces.append((one.address, size))
            length -= size
    total = sum(size for _, size in pieces)
    if not total:
        return Change()
    match how.how:
        case "zero":
            return Change((), tuple((address, bytes(size)) for address, size in pieces))
        case "random":
            noise = hashlib.shake_256(repr(chance).encode()).digest(total)
            memory = []
            for address, size in pieces:
                memory.append((address, noise[:size]))
                noise = noise[size:]
            return Change((), tuple(memory))
        case "bitflip":
            byte, bit = divmod(int(chance * total * 8), 8)
            for address, size in pieces:
                if byte < size:
                    before = _number(call, address + byte, 1)
                    return Change((), ((address + byte, bytes((before ^ 1 << bit,))),))
                byte -= size
    return Change()


def poke(call: StoppedCall, text: str, when: str) -> Change:
    """Return what strace's `poke_enter` or `poke_exit` (`when`) overwrites."""
    memory = []
    for part in filter(None, text.split(":")):
        key, _, data = part.partition("=")
        if key == when:
            for one in data.split(","):
                argument, _, digits = one.partition("=")
                index = int(argument.removeprefix("@arg")) - 1
                if index < 6:
                    memory.append((call.args[index], bytes.fromhex(digits)))
    return Change((), tuple(memory))


def spoil(call: StoppedCall) -> Change:
    """Return what makes the call fail without an effect; nothing where that is not sure.

    No such descriptor, and an address that no program has.
    """
    known = signature(call.name, call.arch)
    if known is None or not known.parameters or known.parameters[0].kind not in _SPOILT:
        return Change()
    bad = (1 << call.arch.bits) - 1
    return Change(
        tuple(
            (index, bad)
            for index, one in enumerate(known.parameters[:6])
            if one.kind in _SPOILT and (one.kind is Kind.FD or call.args[index])
        )
    )


def traced(call: StoppedCall) -> Change:
    """Return what has the child of a clone or clone3 be traced, whatever its creator asks."""
    if call.raw[5] == call.arch.numbers["clone"]:
        flags = call.args[0]
        change = Change(((0, flags & ~CLONE_UNTRACED),))
    else:
        at = call.args[0]  # struct clone_args, whose first member it is
        flags = _number(call, at, 8)
        change = Change((), ((at, (flags & ~CLONE_UNTRACED).to_bytes(8, "little")),))
    return change if flags & CLONE_UNTRACED else Change()


def received(call: StoppedCall, result: int) -> int:
    """Return how many bytes a call that is over has put into the program's memory."""
    if call.name == "recvmmsg" and result > 0:
        # struct mmsghdr: a msghdr of seven words, and the length of that message.
        return _number(call, call.args[1] + 7 * call.arch.bits // 8, 4)
    return max(result, 0)
