"""Call stacks as they are told: frames taken apart, and the one that names a place. Pure.

A place is named by the nearest function that is the program's own, not the C library's or a
language's run time.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from injector.linux.unwind import demangled
from injector.words.syscalls import X86_64


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a call stack, taken apart."""

    function: str  # demangled, "" if unknown
    library: str
    place: str  # what to call it: the function, else library+address
    own: bool  # the program's, not the C library's or the language's run time


_FRAME = re.compile(r"(.*?)(?:\+0x[0-9a-f]+)?(?: \((.*)\))?", re.DOTALL)
_RUN_TIME = re.compile(
    r"ld-(linux|musl|\d)|lib(c|m|dl|rt|pthread|util|resolv|nsl|stdc\+\+|gcc_s)[-.]"
    r"|libnss_|lib(a|t|l|m|ub|hwa)san\.|\[vdso\]|linux-vdso"
)
_SANITIZERS = re.compile(r"lib(?:a|hwa|l|m|t|ub)san\.|libclang_rt\.")
_WRAPPER = re.compile(r"_*(?:libc_|GI_)*_*(\w+?)(?:64)?(?:_no_?cancel\w*)?")
_SANITIZER = re.compile(r"(?:_ZN\d+)?__(?:sanitizer|(?:a|hwa|l|m|t|ub)san)")
_GO = re.compile(r"(internal/)?(runtime|syscall|poll)[./]|golang\.org/x/sys/")
_CALLERS = 3


@functools.lru_cache(maxsize=1 << 14)
def frame(text: str) -> Frame:
    """Take one frame apart: `function+0x1c (library)`, or an address for the function."""
    found = _FRAME.fullmatch(text)
    assert found is not None  # every group may be empty
    name, library = found[1], found[2] or ""
    base = library.rpartition("/")[2]
    if re.fullmatch("0x[0-9a-f]+", name):
        return Frame("", library, f"{base}+{name}" if base else name, _is_own("", base))
    function = demangled(name) or name
    return Frame(function, library, function, _is_own(function, base))


def _is_own(function: str, library: str) -> bool:
    if _RUN_TIME.match(library):
        return False
    # In a static program the C library's wrappers stand in the program's own file.
    wrapper = _WRAPPER.fullmatch(function)
    if wrapper and (wrapper[1] in X86_64.numbers):
        return False
    return not _GO.match(function)


def own_frames(stack: Sequence[str]) -> Iterator[Frame]:
    """Yield the frames that are the program's own, innermost first."""
    return (one for one in map(frame, stack) if one.own)


def site_function(stack: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return what to call a place: the nearest own function that has a name, and its callers.

    ("", ()) for no stack.
    """
    frames = list(own_frames(stack)) or [frame(text) for text in stack]
    if not frames:
        return "", ()
    at = next((index for index, one in enumerate(frames) if one.function), 0)
    return frames[at].place, tuple(one.place for one in frames[at + 1 : at + 1 + _CALLERS])


def of_a_sanitizer(function: str, library: str) -> bool:
    """Return whether code is the run time of a sanitizer: there is none in a program's release."""
    return bool(_SANITIZERS.match(library.rpartition("/")[2]) or _SANITIZER.match(function))


def bare(function: str) -> str:
    """Return a demangled function without its parameters, as a title has room for it."""
    text = function.removesuffix(" const")
    if not text.endswith(")"):
        return function
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if depth == 0:
            return text[:at] or function
    return function
