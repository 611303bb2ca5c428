"""The small languages of single values: probabilities, times, numbers, occurrences, errors.

Shared by scenario files and one-line rules. Each parser takes the text as written and returns
the meaning or raises Bad; each `..._text` gives the shortest text that is read back as the same.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from injector.words.model import Corrupt, Delay, Short, Site, When
from injector.words.syscalls import (
    ERRNOS,
    KERNEL_ERRNOS,
    SIGNALS,
    errno_name,
    errno_number,
    signal_name,
    signal_number,
)

from .fields import Bad, closest

_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Zµμ]*)", re.ASCII)
_INTEGER = re.compile(
    r"([-+]?)(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|\d+)([kKmMgGtT]?)", re.ASCII
)
_WHEN = re.compile(r"(\d+)(?:(\.\.)(\d+))?(?:(\+)(\d*))?", re.ASCII)
UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
}
"""Nanoseconds of each unit of time."""
SITE = re.compile(r"^([0-9]+(?:\.x?[0-9]+)*)/([a-z_0-9]+)#([1-9][0-9]*)(\+?)$")
_LONGEST = 366 * 24 * UNITS["h"]
_SUFFIX = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
MAX_ERRNO = 4095  # the kernel takes -4095..-1 for errors: include/linux/err.h


def number(text: str) -> Fraction:
    """Return a decimal number that is not negative, exactly; Bad for anything else."""
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        raise Bad(f"'{text}' is not a number")
    return Fraction(text if not text.endswith(".") else text + "0")


def number_text(value: float) -> str:
    """Return a number that is not negative as short as it can be written."""
    return str(int(value)) if value == int(value) and value < 1e15 else repr(value)


def probability(text: str) -> float:
    """Return `5%` or `0.05` as 0..1; Bad outside."""
    percent = text.endswith("%")
    value = number(text.removesuffix("%").rstrip())
    if percent:
        value /= 100
    if value > 1:
        shown = text if percent else f"{text}, without %,"
        raise Bad(f"{shown} is more than always", "" if percent else f"say {text}% or 0..1")
    return float(value)


def probability_text(value: float) -> str:
    """Return a probability as percent where that is exact and short, else as a number."""
    percent = f"{value * 100:.6g}%"
    exact = "e" not in percent and value <= 1 and probability(percent) == value
    return percent if exact else number_text(value)


def duration(text: str) -> int:
    """Return `200ms`, `2s`, `10us`, `1m`, `500ns` as nanoseconds; Bad without a unit."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Bad(f"'{text}' is not a time", "like 200ms, 2s, 10us, 1m")
    amount, unit = match.groups()
    if not unit:
        raise Bad(f"say the unit of {text}", f"like {text}ms, {text}s or {text}us")
    if unit not in UNITS:
        hint = closest(unit, UNITS)
        raise Bad(f"unknown unit '{unit}'{hint}", "units: ns us ms s m h", match.start(2))
    return _nanoseconds(text, number(amount) * UNITS[unit])


def strace_duration(text: str) -> int:
    """Return strace's time, microseconds unless it says otherwise, as nanoseconds."""
    match = re.fullmatch(r"(.*?)(s|ms|us|ns|)", text, re.DOTALL)
    amount, unit = match.groups() if match else (text, "")
    return _nanoseconds(text, number(amount) * UNITS[unit or "us"])


def _nanoseconds(text: str, value: Fraction) -> int:
    if value > _LONGEST:
        raise Bad(f"{text} is longer than a year")
    return round(value)


def duration_text(nanoseconds: int) -> str:
    """Return a time for people: 1.5s, 200ms; three digits of one that has more than five."""
    if nanoseconds and len(str(nanoseconds).rstrip("0")) > 5:
        nanoseconds = round(nanoseconds, 3 - len(str(nanoseconds)))
    if not nanoseconds:
        return "0s"
    unit = next(unit for unit in ("s", "ms", "us", "ns") if nanoseconds >= UNITS[unit])
    return f"{(Decimal(nanoseconds) / UNITS[unit]).normalize():f}{unit}"


def exact_duration_text(nanoseconds: int) -> str:
    """Return a time as `duration()` reads it, in the greatest unit that needs no fraction."""
    if not nanoseconds:
        return "0s"
    unit = next(unit for unit in ("s", "ms", "us", "ns") if nanoseconds % UNITS[unit] == 0)
    return f"{nanoseconds // UNITS[unit]}{unit}"


def delay(text: str) -> Delay:
    """Return `200ms`, `10ms..50ms`, `exponential 20ms` or `normal 20ms 5ms`."""
    first, *rest = text.split()
    if first in ("exponential", "normal"):
        wanted = 1 if first == "exponential" else 2
        if len(rest) != wanted:
            raise Bad(
                f"{first} takes {wanted} time{'s' * (wanted > 1)}, not {len(rest)}",
                "like exponential 20ms" if wanted == 1 else "like normal 20ms 5ms",
            )
        times = [duration(one) for one in rest]
        return Delay(first, *times)  # type: ignore[arg-type]
    if first.isalpha():
        raise Bad(
            f"unknown distribution '{first}'{closest(first, ('exponential', 'normal'))}",
            "like 200ms, 10ms..50ms, exponential 20ms, normal 20ms 5ms",
        )
    low, dots, high = text.partition("..")
    if not dots:
        return Delay("fixed", duration(text))
    begin, end = duration(low.strip()), duration(high.strip())
    if begin > end:
        raise Bad(f"{low.strip()} is more than {high.strip()}", f"{high.strip()}..{low.strip()}")
    return Delay("uniform", begin, end)


def delay_text(value: Delay) -> str:
    """Return a delay as `delay()` reads it."""
    low, high = exact_duration_text(value.low), exact_duration_text(value.high)
    shapes = {"fixed": low, "uniform": f"{low}..{high}", "normal": f"normal {low} {high}"}
    return shapes.get(value.shape, f"exponential {low}")


def when(text: str, greatest: int = 2**63 - 1) -> When:
    """Return strace's `F`, `F+`, `F+S`, `F..L`, `F..L+S`; Bad for 0 and what is beyond."""
    usage = "like 3, 3+, 3+2, 3..9, 3..9+2"
    match = _WHEN.fullmatch(text)
    if match is None or len(text) > 70:
        raise Bad(f"'{text}' is no range of occurrences", usage)
    first = int(match[1])
    last = int(match[3]) if match[3] else (None if match[4] else first)
    step = int(match[5]) if match[5] else 1
    if first == 0:
        raise Bad("occurrences count from 1", "1+ is every one")
    if step == 0:
        raise Bad(
            "the step is 0", f"{first} is this one only, {first}+ it and all later", match.start(5)
        )
    if last is not None and last < first:
        raise Bad(f"{first}..{last} goes backwards", f"{last}..{first}")
    # strace(1): "first and step is 1..65535, and for number last is 1..65534"
    last_limit = greatest if match[3] is None else greatest - 1
    for value, limit in ((first, greatest), (step, greatest), (last or 0, last_limit)):
        if value > limit:
            raise Bad(f"{value} is more than {limit}")
    return When(first, last, 1 if last == first else step)


def integer(text: str) -> int:
    """Return `4096`, `0x1000`, `0o644`, `4K`, `1M`; Bad for anything else."""
    match = _INTEGER.fullmatch(text)
    if match is None or len(text) > 70:
        raise Bad(f"'{text}' is not an integer", "like 4096, 0x1000, 4K, 1M")
    sign, digits, suffix = match.groups()
    value = int(digits, 0) if digits[1:2].isalpha() else int(digits)
    value *= _SUFFIX[suffix.lower()]
    return -value if sign == "-" else value


def count(text: str) -> int:
    """Return an integer from 0; Bad below."""
    value = integer(text)
    if value < 0:
        raise Bad(f"{text} is negative")
    return value


def retval(text: str) -> int:
    """Return a value that a call can report as success; Bad for what programs take as error."""
    value = integer(text)
    if not -(2**63) <= value < 2**64:
        raise Bad(f"{text} does not fit into 64 bits")
    signed = value - 2**64 if value >= 2**63 else value
    # All 64 bits in hexadecimal are meant so: as such strace's retval=-1 is written.
    if -MAX_ERRNO <= signed < 0 and not re.fullmatch(r"0[xX][0-9a-fA-F]{16}", text):
        # linux/err.h, IS_ERR_VALUE: the C library turns these into -1 and errno.
        raise Bad(f"{text} is a failure to the program", f"say error: {errno_name(-signed)}")
    return value % 2**64


def retval_text(value: int) -> str:
    """Return a value for people, signed as programs take it."""
    return str(value - 2**64 if value >= 2**63 else value)


def exact_retval_text(value: int) -> str:
    """Return a value as `retval()` reads it."""
    return hex(value) if value >= 2**64 - MAX_ERRNO else retval_text(value)


def strace_retval(text: str) -> int:
    """Return strace's value, as strtoull(3) with base 0 reads it, 0..2**64-1."""
    match = re.fullmatch(r"([-+]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)", text, re.ASCII)
    if match is None or len(text) > 70:
        raise Bad(f"'{text}' is not an integer")
    digits = match[2]
    value = int(digits, 8 if re.fullmatch(r"0[0-7]+", digits) else 0)
    if value >= 2**64:
        raise Bad(f"{text} does not fit into 64 bits")
    return -value % 2**64 if match[1] == "-" else value


def short(text: str) -> Short:
    """Return `1` as bytes, `50%` as a fraction; Bad for all and nothing."""
    if text.endswith("%"):
        fraction = number(text[:-1].rstrip()) / 100
        if not 0 < fraction < 1:
            raise Bad(f"{text} is no part of a transfer", "more than 0% and less than 100%")
        return Short(fraction=float(fraction))
    size = count(text)
    if size == 0:
        raise Bad("0 bytes is no transfer", "say retval: 0 for the end of the file, or short: 1")
    return Short(bytes=size)


def short_text(value: Short) -> str:
    """Return a short transfer as `short()` reads it."""
    if value.fraction is None:
        return str(value.bytes)
    exact = Decimal(value.fraction) * 100
    rounded = (Decimal(f"{exact:.{digits}g}").normalize() for digits in (6, 17, 25))
    # As people write it, 50 and not 5E+1, unless it is too long to be read back.
    percents = (shown for one in rounded for shown in (f"{one:f}", str(one)) if len(shown) <= 40)
    return next(f"{one}%" for one in percents if float(number(one) / 100) == value.fraction)


def corrupt(text: str) -> Corrupt:
    """Return how data is damaged, `bitflip`, or `bitflip 0.25` that leaves nothing to a coin."""
    word, *rest = text.split()
    how = choice(word, ("bitflip", "zero", "random"))
    if not rest:
        return Corrupt(how)  # type: ignore[arg-type]
    at = float(number(rest[0])) if len(rest) == 1 else 1.0
    if how == "zero" or at >= 1:
        raise Bad(f"'{text}' is no damage", "like bitflip, random 0.25, zero")
    return Corrupt(how, at)  # type: ignore[arg-type]


def corrupt_text(value: Corrupt) -> str:
    """Return a damage as `corrupt()` reads it."""
    return value.how if value.at is None else f"{value.how} {value.at!r}"


def site(text: str) -> Site:
    """Return `0.2/openat#3`, or `0.2/openat#3+` for that call and all later ones."""
    match = SITE.fullmatch(text)
    if match is None or len(match[3]) > 18:
        raise Bad(
            f"'{text}' is no site",
            "like 0.2/openat#3, the 3rd openat of task 0.2 as a journal has it; with + from it on",
        )
    return Site(match[1], match[2], int(match[3]), match[4] == "+")


def signal(text: str) -> int:
    """Return the number of `TERM`, `SIGTERM`, `15`, `SIGRTMIN+2`; Bad for no signal."""
    value = signal_number(text) if len(text) < 20 else None
    if value is None:
        raise Bad(f"no signal '{text}'{closest(text, (*SIGNALS, *(s[3:] for s in SIGNALS)))}")
    return value


def signal_text(value: int) -> str:
    """Return a signal as `signal()` reads it."""
    return signal_name(value)


def errno(text: str) -> str:
    """Return the name of an error given as name or number, the number as text if it has none."""
    if re.fullmatch(r"[-+]?\d{1,20}", text, re.ASCII):
        value = int(text)
        if value == 0:
            raise Bad("error 0 is no error", "say retval: 0 for success")
        if not 1 <= value <= MAX_ERRNO:
            raise Bad(f"error {text} is not in 1..{MAX_ERRNO}")
        if 512 <= value <= 531:
            name = errno_name(value)
            shown = f" ({name})" if name in KERNEL_ERRNOS.values() else ""
            raise Bad(
                f"error {value}{shown} is the kernel's own, which no program sees",
                "EINTR is what an interrupted call fails with",
            )
        return errno_name(value)
    found = errno_number(text)
    if found is None:
        if text.upper() in KERNEL_ERRNOS.values():
            raise Bad(f"{text} is the kernel's own, which no program sees")
        raise Bad(f"no error '{text}'{closest(text, ERRNOS)}", "see inject list errnos")
    return errno_name(found)


def choice(text: str, words: Iterable[str]) -> str:
    """Return the text if it is one of the words; Bad otherwise."""
    allowed = tuple(words)
    if text not in allowed:
        raise Bad(f"'{text}' is not one of {', '.join(allowed)}{closest(text, allowed)}")
    return text
