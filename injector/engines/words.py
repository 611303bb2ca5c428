"""A stopped call in words: its arguments as a person reads them. Slow: only for calls that fire."""

from __future__ import annotations

from injector.engines.call import AT_FDCWD, StoppedCall, shape
from injector.linux import procfs
from injector.rules.match import signed
from injector.words.syscalls import Kind, signal_name, signature, words_of

_SHOWN = 48  # characters of a text


def _text(text: str) -> str:
    cut = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return '"' + "".join(map(_character, cut)) + '"'


def _character(one: str) -> str:
    if one.isprintable() and one != "\\":
        return one
    if 0xDC80 <= ord(one) <= 0xDCFF:  # a byte that is no UTF-8 (PEP 383)
        return f"\\x{ord(one) & 0xFF:02x}"
    return one.encode("unicode_escape", "backslashreplace").decode()


def arguments(call: StoppedCall) -> str:
    """Return the arguments, strace's way: `AT_FDCWD, "/etc/passwd", O_RDONLY`."""
    known = signature(call.name, call.arch)
    if known is None:
        return ", ".join(f"{value:#x}" for value in call.args)
    texts = []
    values = call.args
    for index, parameter in enumerate(known.parameters[:6]):
        raw = values[index]
        bits = min(parameter.bits, call.arch.bits)
        value = signed(raw, bits, parameter.signed)
        unsigned = raw & ((1 << bits) - 1)
        family = words_of(call.name, parameter.name, call.arch)
        match parameter.kind:
            case Kind.FD | Kind.DIRFD:
                number = signed(raw, 32, True)
                if number == AT_FDCWD:
                    texts.append("AT_FDCWD")
                    continue
                target = procfs.fd_target(call.task.tid, number) if number >= 0 else None
                texts.append(f"{number}<{target}>" if target else str(number))
            case Kind.PATH | Kind.STRING:
                texts.append(_text(call.string(raw)) if raw else "NULL")
            case Kind.MODE:
                texts.append(f"{unsigned:#o}" if unsigned else "0")
            case Kind.SIGNAL:
                texts.append(signal_name(unsigned) if unsigned else "0")
            case Kind.SOCKADDR if call.addresses() and shape(call.name, call.arch).sockaddr:
                address = call.addresses()[0]
                where = f"{address.host}:{address.port}" if address.unix is None else address.unix
                texts.append(f"{{{where}}}")
            case _ if family is not None and family.shown:
                texts.append(family.show(unsigned))
            case (
                Kind.POINTER | Kind.BUFFER | Kind.IOVEC | Kind.MSGHDR | Kind.ADDRESS
                | Kind.SOCKADDR | Kind.TIME
            ):  # fmt: skip
                texts.append(f"{unsigned:#x}" if unsigned else "NULL")
            case _:
                texts.append(str(value))
    return ", ".join(texts)
