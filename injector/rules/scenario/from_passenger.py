"""Phusion Passenger's simulation of failing system calls, as a scenario.

    PASSENGER_SIMULATE_SYSCALL_FAILURES='PROGRAM=ERROR:CHANCE,...;PROGRAM=...'

The grammar and what it leaves out are those of `initializeSyscallFailureSimulation` in Passenger's
agents; the calls are those of its wrappers, `oxt/system_calls.cpp`, by what the C library makes
of them. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from fractions import Fraction

from injector.words.errors import InjectError

from . import values
from .fields import Bad
from .imported import Imported, as_glob
from .oneline import parse_rules
from .text import quote
from .values import number_text

_VARIABLE = "PASSENGER_SIMULATE_SYSCALL_FAILURES"
_SEED = "PASSENGER_RANDOM_SEED"
_USAGE = "like 'PassengerAgent watchdog=ENOSPC:0.01;PassengerAgent core=EMFILE:0.001'"
_CALLS = (
    "open,openat,read,write,writev,close,pipe,pipe2,dup2,dup3,mkdir,mkdirat,chown,fchownat,accept,"
    "bind,connect,listen,socket,socketpair,recvmsg,sendmsg,setsockopt,shutdown,select,pselect6,"
    "poll,ppoll,unlink,unlinkat,stat,lstat,newfstatat,statx,kill,wait4"
)


def translate(text: str) -> Imported:
    """Return the rules of a value of the variable, or of a shell line that sets it.

    Raises:
        InjectError: it has no failure that could be simulated.
    """
    spec, seed = _assignments(text)
    result = Imported((), seed, [f"From Phusion Passenger: {_VARIABLE}='{spec}'", ""])
    texts: list[str] = []
    seen: set[str] = set()
    for component in filter(str.strip, spec.split(";")):
        program, equals, pairs = component.strip().partition("=")
        if not equals or not program.strip():
            raise InjectError(f"'{component}' is no PROGRAM=ERROR:CHANCE", help=_USAGE)
        if program in seen:
            result.head.append(f"Left out, as Passenger does: a second list for {program}.")
            continue
        seen.add(program)
        left_out: list[str] = []
        chances = dict(_chances(pairs, left_out))
        notes = [f"Left out, as Passenger does: {one}." for one in left_out]
        if not chances:
            result.head += notes or [f"{program} has no errors."]
            continue
        total = sum(chances.values(), Fraction())
        if len(chances) > 1:
            notes.append(
                f"Mended: the chances sum up here, to {_percent(total)}"
                + (", so every call fails and they are weights. " if total > 1 else ". ")
                + "Passenger draws one number for all of them: "
                f"{_percent(max(chances.values()))} of its calls fail, with one of the errors "
                "whose chance is not below the number."
            )
        errors = ",".join(
            name if len(chances) == 1 else f"{name}@{number_text(float(one * 100))}"
            for name, one in chances.items()
        )
        process = as_glob(program)
        globs = (process, f"{process} *") if " " in program else (process,)
        name = re.sub(r"\s+", "-", program)[:100]
        texts.append(
            f"{_CALLS}:process={','.join(map(quote, globs))}:error={errors}:call=skip"
            f":probability={_percent(min(total, Fraction(1)))}:name={quote(name)}"
        )
        result.notes[name] = notes
    if not texts:
        raise InjectError(
            "no failure is left to simulate", help=" ".join(result.head[2:]) or _USAGE
        )
    result.rules = parse_rules(texts)
    result.head += [
        "Passenger fails the calls that its own code makes by oxt::syscalls; here those of its "
        "libraries fail as well, wherever the process makes them.",
        "As in Passenger, any of them fails with any of the errors, and a failed close leaves the "
        "descriptor open. Without `syscalls`, only calls fail that can by their manual page.",
        "A seed repeats a run here; it does not give the faults that Passenger drew from it.",
    ]
    return result


def _assignments(text: str) -> tuple[str, int | None]:
    """Return the value and the seed of a text that may be an assignment in a shell."""
    if _VARIABLE not in text:
        return text.strip(), None
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InjectError(f"the quotes are not closed: {error}", help=_USAGE) from None
    given = dict(word.partition("=")[::2] for word in words if "=" in word)
    if _VARIABLE not in given:
        raise InjectError(f"{_VARIABLE} is not set there", help=f"{_VARIABLE}=…")
    seed = given.get(_SEED, "")
    return given[_VARIABLE], int(seed) if seed.isascii() and seed.isdecimal() else None


def _chances(pairs: str, left_out: list[str]) -> Iterator[tuple[str, Fraction]]:
    for pair in filter(None, pairs.split(",")):
        parts = pair.split(":")
        try:
            if len(parts) != 2:
                raise Bad("no ERROR:CHANCE")
            name = values.errno(parts[0].strip())
            chance = values.number(parts[1].strip())
            if chance > 1:
                raise Bad("a chance is between 0 and 1")
            if chance == 0:
                raise Bad("it never happens")
        except Bad as error:
            left_out.append(f"{pair} ({error.message})")
        else:
            yield name, chance


def _percent(chance: Fraction) -> str:
    return f"{number_text(float(chance * 100))}%"
