"""Patterns over a call's descriptor, address and path: what `fd`, `address`, `path` take.

Each parser gives a value of the model whose `text` is read back as the same value. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from injector.words.model import AddressPattern, FdKind, FdSet, Globs, Range

from .fields import Bad, Mistakes, Text, closest
from .values import integer

_COMPARISON = re.compile(r"(>=|<=|>|<|==|=)\s*(.+)", re.DOTALL)
_PORT = 65535


def globs(items: Sequence[Text], notes: Mistakes) -> Globs | None:
    """Return patterns and `!patterns`; None if one was refused (and noted)."""
    include: list[str] = []
    exclude: list[str] = []
    before = len(notes.found)
    for item in items:
        pattern = item.text.removeprefix("!")
        if not pattern:
            notes.add(item, "an empty pattern matches nothing", "leave the key out to match all")
        elif "\0" in pattern:
            notes.add(item, "a NUL cannot occur in it")
        else:
            (include if pattern == item.text else exclude).append(pattern)
    return Globs(tuple(include), tuple(exclude)) if len(notes.found) == before else None


def number_range(text: str) -> Range | None:
    """Return `3`, `0..2`, `>2`, `>=3`, `<9`, `<=9` as a range; None for other texts, Bad inside."""
    if match := _COMPARISON.fullmatch(text):
        operator, value = match[1], integer(match[2].strip())
        return {
            ">": Range(value + 1, None),
            ">=": Range(value, None),
            "<": Range(None, value - 1),
            "<=": Range(None, value),
        }.get(operator, Range(value, value))
    low, dots, high = text.partition("..")
    if dots:
        begin, end = integer(low.strip()), integer(high.strip())
        if begin > end:
            raise Bad(f"{low.strip()}..{high.strip()} is empty", f"{high.strip()}..{low.strip()}")
        return Range(begin, end)
    if re.match(r"[-+]?\d", text):
        value = integer(text)
        return Range(value, value)
    return None


def range_text(value: Range) -> str:
    """Return a range as `number_range()` reads it."""
    if value.low is None:
        return f"<={value.high}"
    if value.high is None:
        return f">={value.low}"
    return str(value.low) if value.low == value.high else f"{value.low}..{value.high}"


def fd_set(items: Sequence[Text], notes: Mistakes) -> FdSet | None:
    """Return descriptors by number and kind; None if one was refused (and noted)."""
    ranges: list[Range] = []
    kinds: set[FdKind] = set()
    before = len(notes.found)
    for item in items:
        for match in re.finditer(r"[^,]+|^$", item.text):
            part = match[0].strip()
            try:
                found = _fd(part)
            except Bad as error:
                notes.add(item, error.message, error.help, match.start() + error.offset)
                continue
            if isinstance(found, Range):
                ranges.append(found)
            else:
                kinds.add(found)
    if len(notes.found) > before:
        return None
    text = ",".join([*map(range_text, ranges), *sorted(kinds)])
    return FdSet(tuple(ranges), frozenset(kinds), text)


def _fd(text: str) -> Range | FdKind:
    found = number_range(text)
    if found is None:
        kinds = [kind.value for kind in FdKind]
        if text not in kinds:
            raise Bad(
                f"'{text}' is no descriptor{closest(text, kinds)}",
                f"numbers like 3, 0..2, >2, or kinds: {', '.join(kinds)}",
            )
        return FdKind(text)
    # Descriptors count from 0: `<=2` is 0..2 as written, a negative one never is.
    if (found.high is not None and found.high < 0) or (found.low is not None and found.low < 0):
        raise Bad(f"{text}: descriptors count from 0")
    return found


def address(text: str) -> AddressPattern:
    """Return `10.0.0.0/8:5432`, `:443`, `:8000..8100`, `[::1]:53`, `::1` or `unix:PATH`."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or path == "@":
            raise Bad("unix: needs a path", "like unix:/run/x.sock, unix:@name, unix:*")
        return AddressPattern(unix=path, text=text)
    if text.startswith(("/", "@")):
        raise Bad(f"'{text}' is no network address", f"say unix:{text}")
    network, port, port_at = _halves(text)
    ports = _ports(port, port_at) if port is not None else None
    normal = "" if network in ("", "*") else _network(network)
    if not normal and ports is None:
        raise Bad("this is every address", "leave `address` out, or say unix:*, 0.0.0.0/0 or ::/0")
    host = f"[{normal}]" if ":" in normal and ports is not None else normal
    suffix = f":{range_text(ports)}" if ports is not None else ""
    return AddressPattern(normal, ports, text=host + suffix)


def _halves(text: str) -> tuple[str, str | None, int]:
    """Return network, port (None if there is none) and where the port is."""
    if text.startswith("["):
        network, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise Bad("the [ is not closed", "like [::1]:53")
        if rest.startswith("/"):
            prefix, colon, port = rest.partition(":")
            return network + prefix, port if colon else None, len(text) - len(port)
        if rest and not rest.startswith(":"):
            raise Bad(f"'{rest}' after ]", "like [::1]:53", len(text) - len(rest))
        return network, rest[1:] if rest else None, len(text) - len(rest) + 1
    if text.count(":") > 1:
        return text, None, 0  # a bare IPv6 address
    network, colon, port = text.partition(":")
    return network, port if colon else None, len(network) + 1


def _network(text: str) -> str:
    import ipaddress  # costs more than all the rest of a rule, and few rules have addresses

    try:
        found = ipaddress.ip_network(text)
    except ValueError as error:
        if re.fullmatch(r"[A-Za-z_][\w.-]*", text) and not re.fullmatch(r"[0-9a-fA-F:]+", text):
            help = "127.0.0.0/8 or ::1" if text == "localhost" else "give its address"
            raise Bad(f"'{text}': host names are not looked up", help) from None
        if "has host bits set" in str(error):
            wider = ipaddress.ip_network(text, strict=False)
            raise Bad(f"{text} has bits set beyond its prefix", f"{wider}") from None
        raise Bad(f"'{text}' is no IP address or network", "like 10.0.0.0/8, ::1") from None
    whole = found.prefixlen == found.max_prefixlen
    return str(found.network_address) if whole else str(found)


def _ports(text: str, at: int) -> Range:
    try:
        found = number_range(text)
    except Bad as error:
        raise Bad(error.message, error.help, at) from None
    if found is None:
        raise Bad(f"'{text}' is no port", "a number, or a range like 8000..8100", at)
    low = 0 if found.low is None else found.low
    high = _PORT if found.high is None else found.high
    if low < 0 or high > _PORT or low > high:
        raise Bad(f"port {text} is not in 0..{_PORT}", offset=at)
    return Range(low, high)
