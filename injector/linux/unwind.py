"""Call stacks of stopped tracees: libunwind-ptrace walks, our own symbol tables name.

libunwind names a frame by reading the whole symbol table of its library again each time;
here a table is read once per file. libunwind is optional and loaded when first asked for:
without it the chain of frame pointers is followed, which leaves out every function that
keeps none. Only x86_64 code yet.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import stat
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from injector.linux import procfs, ptrace

Read = Callable[[int, int], bytes]
"""Of an ELF file: offset, size -> bytes, fewer at its end."""

_WORD = 8
# sys/user.h, struct user_regs_struct, by position.
_RBP, _RIP, _CS, _RSP = 4, 16, 17, 19
_CODE_64 = 0x33  # __USER_CS of asm/segment.h
_UNW_REG_IP = 16  # libunwind-x86_64.h
_CURSOR = 8192  # bytes; unw_cursor_t is 127 words in libunwind 1.1 to 1.8
_CACHED_STATES = 4096
_CACHED_FRAMES = 1 << 16
_TABLE_MOST = 48 << 20  # bytes of one section, two million symbols: the target waits meanwhile
_DEEPEST = 64 << 20  # bytes of stack that a chain of frame pointers may span

# elf.h
_PT_LOAD, _PF_X = 1, 1
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11
_STT_FUNC, _STT_GNU_IFUNC = 2, 10
_SHN_UNDEF = 0
_header = struct.Struct("<4sBBxxxxxxxxxxHHIQQQIHHHHHH")
_segment = struct.Struct("<IIQQQQQQ")
_section = struct.Struct("<IIQQQQIIQQ")
_symbol = struct.Struct("<IBBHQQ")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a call stack.

    `function` is "" if unknown, as the symbol table spells it; `offset` the bytes into it,
    else into the library; `library` the file's path, "[vdso]", or "" for code of no file;
    `address` where in the library's file, its load bias removed, or in memory for no library.
    In all but the innermost frame this is the place the call returns to.
    """

    function: str
    offset: int
    library: str
    address: int

    def __str__(self) -> str:
        """Return `function+0x1c (/lib/libc.so.6)`, or what of it is known."""
        name = f"{self.function}+{self.offset:#x}" if self.function else f"{self.address:#x}"
        return f"{name} ({self.library})" if self.library else name

    def texts(self) -> tuple[str, str, str, str]:
        """Return what a rule may name it by, "" where unknown.

        The function, the function demangled, the library's base name, the library's path.
        """
        return (
            self.function,
            demangled(self.function),
            self.library.rpartition("/")[2],
            self.library,
        )


@functools.lru_cache(maxsize=4096)
def demangled(name: str) -> str:
    """Return a C++ name as its source spells it, "" if it is none or libstdc++ is not here."""
    demangle = _demangler() if name.startswith("_Z") else None
    return demangle(os.fsencode(name)) if demangle else ""


@functools.cache
def _demangler() -> Callable[[bytes], str] | None:
    try:
        demangle = ctypes.CDLL("libstdc++.so.6").__cxa_demangle
    except (OSError, AttributeError):
        return None
    demangle.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    demangle.restype = ctypes.c_void_p
    free = ctypes.CDLL(None).free
    free.argtypes = (ctypes.c_void_p,)
    free.restype = None

    def one(name: bytes) -> str:
        status = ctypes.c_int()
        text = demangle(name, None, None, ctypes.addressof(status))
        if not text:
            return ""
        try:
            return os.fsdecode(ctypes.string_at(text))
        finally:
            free(text)

    return one


class _Libunwind:
    """The functions of libunwind that are used (libunwind(3), libunwind-ptrace(3))."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):
            # Debian's libunwind uses liblzma without naming it as needed.
            ctypes.CDLL("liblzma.so.5", mode=ctypes.RTLD_GLOBAL)
        generic = ctypes.CDLL("libunwind-x86_64.so.8", mode=ctypes.RTLD_GLOBAL)
        remote = ctypes.CDLL("libunwind-ptrace.so.0", mode=ctypes.RTLD_GLOBAL)
        pointer, number = ctypes.c_void_p, ctypes.c_int
        self.accessors = ctypes.addressof(ctypes.c_char.in_dll(remote, "_UPT_accessors"))
        self.create = remote._UPT_create
        self.create.argtypes, self.create.restype = (number,), pointer
        self.destroy = remote._UPT_destroy
        self.destroy.argtypes, self.destroy.restype = (pointer,), None
        self.make_space = generic._Ux86_64_create_addr_space
        self.make_space.argtypes, self.make_space.restype = (pointer, number), pointer
        self.end_space = generic._Ux86_64_destroy_addr_space
        self.end_space.argtypes, self.end_space.restype = (pointer,), None
        self.set_caching = generic._Ux86_64_set_caching_policy
        self.set_caching.argtypes = (pointer, number)
        self.set_cache_size = generic._Ux86_64_set_cache_size
        self.set_cache_size.argtypes = (pointer, ctypes.c_size_t, number)
        self.start = generic._Ux86_64_init_remote
        self.start.argtypes = (pointer, pointer, pointer)
        self.step = generic._Ux86_64_step
        self.step.argtypes = (pointer,)
        self.get = generic._Ux86_64_get_reg
        self.get.argtypes = (pointer, number, pointer)
        self.is_signal = generic._Ux86_64_is_signal_frame
        self.is_signal.argtypes = (pointer,)

    def space(self) -> int:
        """Make an address space that remembers how it left each place (UNW_CACHE_GLOBAL)."""
        space: int = self.make_space(self.accessors, 0)
        self.set_caching(space, 1)
        self.set_cache_size(space, _CACHED_STATES, 0)
        return space


@functools.cache
def _libunwind() -> _Libunwind | None:
    if platform.machine() != "x86_64":
        return None
    try:
        return _Libunwind()
    except (OSError, AttributeError, ValueError):
        return None


def missing() -> str:
    """Return what to install for whole call stacks, "" if all is here."""
    if platform.machine() != "x86_64":
        return f"call stacks are not known on {platform.machine()}"
    if _libunwind() is None:
        return (
            "libunwind-ptrace: apt install libunwind8 (Debian, Ubuntu), "
            "dnf install libunwind (Fedora), pacman -S libunwind (Arch)"
        )
    return ""


class _Symbols:
    """The functions of one ELF file, and where its segments lie."""

    __slots__ = ("_ends", "_names", "_segments", "_starts", "_strings")

    def __init__(self, read: Read | None = None) -> None:
        self._segments: list[tuple[int, int, int]] = []
        self._starts = array("Q")
        self._ends = array("Q")
        self._names = array("Q")
        self._strings = b""
        if read is not None:
            # Whatever a file says of itself may be wrong.
            with contextlib.suppress(OSError, struct.error, IndexError, ValueError, OverflowError):
                self._parse(read)

    def _parse(self, read: Read) -> None:
        head = _header.unpack(read(0, _header.size))
        if head[:3] != (b"\x7fELF", 2, 1):
            return
        segments_at, sections_at = head[7], head[8]
        segment_size, segments, section_size, sections = head[11:15]
        if segment_size == _segment.size:
            found = [*_records(_segment, read(segments_at, segments * segment_size))]
            loads = [one for one in found if one[0] == _PT_LOAD]
            # Segments may share a page of the file; code is what is asked for.
            loads.sort(key=lambda one: not one[1] & _PF_X)
            self._segments = [(one[2], one[2] + one[5], one[3] - one[2]) for one in loads]
        if not sections_at or section_size != _section.size:
            return
        table = [*_records(_section, read(sections_at, sections * section_size))]
        symbols: list[tuple[int, int, bool, int]] = []
        for one in table:
            if one[1] in (_SHT_SYMTAB, _SHT_DYNSYM):
                symbols += self._section(read, one, table)
        self._fill(symbols)

    def _section(
        self, read: Read, one: tuple[int, ...], table: list[tuple[int, ...]]
    ) -> list[tuple[int, int, bool, int]]:
        """Return start, end, whether the end is a guess, place of the name."""
        strings = table[one[6]]
        if max(one[5], strings[5]) > _TABLE_MOST:
            return []
        base = len(self._strings)
        self._strings += read(strings[4], strings[5]) + b"\0"
        bounds = [section[3] + section[5] for section in table]
        return [
            (value, value + size if size else bounds[index], not size, base + name)
            for name, info, _, index, value, size in _records(_symbol, read(one[4], one[5]))
            if info & 15 in (_STT_FUNC, _STT_GNU_IFUNC)
            and value
            and _SHN_UNDEF < index < len(bounds)
        ]

    def _fill(self, symbols: list[tuple[int, int, bool, int]]) -> None:
        symbols.sort()
        place = 0
        while place < len(symbols):
            start = symbols[place][0]
            first, place = place, place + 1
            while place < len(symbols) and symbols[place][0] == start:
                place += 1
            best = symbols[first]
            if place - first > 1:
                best = min(symbols[first:place], key=self._rank)
            self._starts.append(start)
            self._ends.append(max(best[1], start))
            self._names.append(best[3])

    def _rank(self, symbol: tuple[int, int, bool, int]) -> tuple[bool, int, int, str]:
        """Of many names for one place, prefer the one that programs use: write to __write."""
        name = self._name(symbol[3])
        return symbol[2], len(name) - len(name.lstrip("_")), len(name), name

    def _name(self, place: int) -> str:
        end = self._strings.find(b"\0", place)
        return os.fsdecode(self._strings[place:end])

    def address(self, offset: int) -> int:
        """Return the address that the file gives to a byte of it."""
        for low, high, bias in self._segments:
            if low <= offset < high:
                return offset + bias
        return offset

    def at(self, address: int) -> tuple[str, int]:
        """Return the function around an address and where it begins, ("", 0) if there is none."""
        place = bisect_right(self._starts, address) - 1
        # A function may lie within another one, which then begins some places before.
        for index in range(place, max(place - 4, -1), -1):
            if address < self._ends[index]:
                return self._name(self._names[index]), self._starts[index]
        return "", 0


def _records(kind: struct.Struct, raw: bytes) -> Iterator[tuple[int, ...]]:
    return kind.iter_unpack(raw[: len(raw) - len(raw) % kind.size])


class _Map(NamedTuple):
    """An executable mapping."""

    low: int
    high: int
    offset: int
    library: str
    deleted: bool


def _maps(pid: int) -> list[_Map]:
    found: list[_Map] = []
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return found
    for line in lines:
        fields = line.split(maxsplit=5)
        if b"x" not in fields[1]:
            continue
        low, _, high = fields[0].partition(b"-")
        path = os.fsdecode(fields[5]) if len(fields) > 5 else ""
        name = path.removesuffix(" (deleted)")
        if not name.startswith("/") and name not in ("[vdso]", "[vsyscall]"):
            name = ""
        found.append(_Map(int(low, 16), int(high, 16), int(fields[2], 16), name, name != path))
    return found


class _Process:
    """What is known of one address space."""

    __slots__ = ("frames", "lows", "maps", "signals", "space", "vdso")

    def __init__(self, space: int) -> None:
        self.space = space
        self.maps: list[_Map] = []
        self.lows: list[int] = []
        self.frames: dict[tuple[int, bool], Frame] = {}
        self.signals: dict[int, bool] = {}
        self.vdso: _Symbols | None = None

    def read(self, pid: int) -> None:
        self.maps = _maps(pid)
        self.lows = [one.low for one in self.maps]

    def around(self, ip: int) -> _Map | None:
        place = bisect_right(self.lows, ip) - 1
        return self.maps[place] if place >= 0 and ip < self.maps[place].high else None


class Unwinder:
    """Call stacks of any number of processes; made and used in the thread that traces them.

    What it knows of a process holds until `forget`: code that is unloaded, and other code
    loaded at its place, goes by the old names. A program linked by plain `gcc -static` has no
    index of its unwinding rules (.eh_frame_hdr), so only its frame pointers are followed.
    """

    def __init__(self) -> None:
        self._library = _libunwind()
        self._processes: dict[int, _Process] = {}
        self._pids: dict[int, int] = {}
        self._files: dict[tuple[int, int, int, int], _Symbols] = {}
        self._cursor = ctypes.create_string_buffer(_CURSOR)
        self._word = ctypes.c_uint64()

    def frames(self, tid: int, limit: int = 64) -> tuple[Frame, ...]:
        """Return the call stack of a task in a ptrace-stop, innermost first.

        Shorter where it cannot be followed, () for a task that is gone or runs 32-bit code.
        """
        try:
            if limit < 1 or ptrace.peek_user(tid, _CS * _WORD) != _CODE_64:
                return ()
            pid = self._pids.get(tid)
            if pid is None:
                ids = procfs.ids(tid)
                if ids is None:
                    return ()
                pid = self._pids[tid] = ids.tgid
        except OSError:
            return ()
        process = self._processes.get(pid)
        if process is None:
            space = self._library.space() if self._library else 0
            process = self._processes[pid] = _Process(space)
        if self._library:
            places = self._by_libunwind(self._library, process, tid, limit)
        else:
            places = self._by_frame_pointers(process, tid, limit)
        found: list[Frame] = []
        fresh = False
        for ip, exact in places:
            frame = process.frames.get((ip, exact))
            if frame is None:
                code = process.around(ip if exact else ip - 1)
                if code is None and not fresh:
                    process.read(pid)
                    fresh = True
                    code = process.around(ip if exact else ip - 1)
                if code is None:
                    # Nothing runs there: beyond the innermost frame the stack is not one.
                    if not found:
                        found.append(Frame("", 0, "", ip))
                    break
                frame = self._frame(process, tid, code, ip, exact)
                if len(process.frames) >= _CACHED_FRAMES:
                    process.frames.clear()
                process.frames[ip, exact] = frame
            found.append(frame)
        return tuple(found)

    def forget(self, pid: int) -> None:
        """Forget a process after its exec or death, or a thread after its death."""
        self._pids.pop(pid, None)
        process = self._processes.pop(pid, None)
        if process is None:
            return
        self._pids = {tid: owner for tid, owner in self._pids.items() if owner != pid}
        if self._library:
            self._library.end_space(process.space)

    def close(self) -> None:
        """Forget all processes."""
        for pid in [*self._processes]:
            self.forget(pid)

    def _by_libunwind(
        self, library: _Libunwind, process: _Process, tid: int, limit: int
    ) -> Iterator[tuple[int, bool]]:
        """Yield each frame's instruction pointer, and whether it is not a place returned to."""
        cursor, word = ctypes.addressof(self._cursor), ctypes.addressof(self._word)
        thread = library.create(tid)
        if not thread:
            return
        try:
            if library.start(cursor, process.space, thread):
                return
            exact = True
            signals = process.signals
            for _ in range(limit):
                if library.get(cursor, _UNW_REG_IP, word):
                    return
                ip = self._word.value
                if not ip:
                    return
                signal = signals.get(ip)
                if signal is None:
                    if len(signals) >= _CACHED_FRAMES:
                        signals.clear()
                    signal = signals[ip] = library.is_signal(cursor) > 0
                yield ip, exact or signal
                # A signal came before an instruction, not after a call.
                exact = signal
                if library.step(cursor) <= 0:
                    return
        finally:
            library.destroy(thread)

    def _by_frame_pointers(
        self, process: _Process, tid: int, limit: int
    ) -> Iterator[tuple[int, bool]]:
        try:
            ip, frame, stack = (
                ptrace.peek_user(tid, place * _WORD) or 0 for place in (_RIP, _RBP, _RSP)
            )
            yield ip, True
            memory = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            low = stack
            for _ in range(limit - 1):
                if frame % _WORD or not low <= frame < stack + _DEEPEST:
                    return
                low = frame + 1
                frame, ip = struct.unpack("<QQ", os.pread(memory, 2 * _WORD, frame))
                if not ip:
                    return
                yield ip, False
        except (OSError, OverflowError, struct.error):
            return
        finally:
            os.close(memory)

    def _frame(self, process: _Process, tid: int, code: _Map, ip: int, exact: bool) -> Frame:
        if not code.library:
            return Frame("", 0, "", ip)
        if code.library.startswith("["):
            if process.vdso is None:
                process.vdso = _Symbols(_reader(_memory(tid, code)))
            symbols = process.vdso
        else:
            symbols = self._symbols(tid, code)
        address = symbols.address(ip - code.low + code.offset)
        function, start = symbols.at(address if exact else address - 1)
        return Frame(function, address - start, code.library, address)

    def _symbols(self, tid: int, code: _Map) -> _Symbols:
        fd = _open(tid, code)
        if fd < 0:
            return _Symbols()
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return _Symbols()
            key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            symbols = self._files.get(key)
            if symbols is None:
                symbols = self._files[key] = _Symbols(
                    lambda offset, size: os.pread(fd, min(size, _TABLE_MOST), offset)
                )
            return symbols
        except OSError:
            return _Symbols()
        finally:
            os.close(fd)


def _open(tid: int, code: _Map) -> int:
    """Open the file that is mapped, -1 if it cannot be had."""
    # The first is the very file even if it is deleted, but takes CAP_CHECKPOINT_RESTORE.
    paths = [f"/proc/{tid}/map_files/{code.low:x}-{code.high:x}"]
    if not code.deleted:
        paths.append(f"/proc/{tid}/root{code.library}")
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    return -1


def _memory(tid: int, code: _Map) -> bytes:
    with contextlib.suppress(OSError, OverflowError):
        fd = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, min(code.high - code.low, 1 << 20), code.low)
        finally:
            os.close(fd)
    return b""


def _reader(raw: bytes) -> Read:
    return lambda offset, size: raw[offset : offset + size]
