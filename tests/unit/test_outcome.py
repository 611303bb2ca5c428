"""What programs say of their own failures, as they print it, and the fingerprint of it."""

from __future__ import annotations

import pytest

from injector.campaigns.outcome import crash, normal, report

ASAN = """\
=================================================================
==12345==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010 at pc 0x55d0c0a1
READ of size 1 at 0x602000000010 thread T0
    #0 0x7f1c6d2a3d6b in __interceptor_strlen ../asan/asan_interceptors.cpp:389
    #1 0x55d0c0a1f1e5 in close_file /tmp/build-8f2a/src/main.c:17
    #2 0x55d0c0a1f2a5 in main /tmp/build-8f2a/src/main.c:30
"""
UBSAN = "src/lib/util.c:42:13: runtime error: signed integer overflow: 2147483647 + 1 cannot be\n"
TSAN = """\
==================
WARNING: ThreadSanitizer: data race (pid=4242)
  Write of size 4 at 0x7b0400000000 by thread T2:
    #0 worker race.c:8 (race+0x1234)
    #1 __tsan_thread_start_func <null> (libtsan.so.2+0x1)
"""
LSAN = """\
==77==ERROR: LeakSanitizer: detected memory leaks

Direct leak of 7 byte(s) in 1 object(s) allocated from:
    #0 0x7f in __interceptor_malloc (/usr/lib/libasan.so.8+0xba)
    #1 0x55 in read_config conf.c:12
"""
BARE_ASAN = """\
==1==ERROR: AddressSanitizer: attempting double-free on 0x602000000010 in thread T0:
    #0 0x7fab520a57b9  (/lib/x86_64-linux-gnu/libasan.so.8+0xb57b9)
    #1 0x55d0c0a1f1e5  (/srv/shop+0x11e5)
"""
MSAN = """\
==9==WARNING: MemorySanitizer: use-of-uninitialized-value
    #0 0x49 in parse_header x.c:3:7
"""
GLIBC = "prog: main.c:27: load: Assertion `n > 0' failed.\n"
MUSL = "Assertion failed: n > 0 (main.c: load: 27)\n"
FREE = "starting 1\nfree(): invalid pointer\nAborted\n"
SMASH = "*** stack smashing detected ***: terminated\n"
RUST = """\
thread 'main' panicked at src/main.rs:4:42:
called `Result::unwrap()` on an `Err` value: Os { code: 28, kind: StorageFull }
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""
OLD_RUST = "thread 'main' panicked at 'index out of bounds: the len is 3', src/main.rs:4:5\n"
GO = """\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47b4d2]

goroutine 1 [running]:
main.readAll(0x0)
\t/home/me/x.go:10 +0x12
main.main()
\t/home/me/x.go:20 +0x19
exit status 2
"""
PYTHON = """\
Traceback (most recent call last):
  File "/app/a.py", line 1, in first
    x()
ValueError: old

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/a.py", line 7, in <module>
    main()
  File "/app/a.py", line 4, in main
    open("/tmp/tmpab12/x")
OSError: [Errno 24] Too many open files: '/tmp/tmpab12/x'
"""
JAVA = """\
Exception in thread "main" java.io.IOException: No space left on device
\tat java.base/java.io.FileOutputStream.writeBytes(Native Method)
\tat Main.main(Main.java:3)
"""
CPP = """\
terminate called after throwing an instance of 'std::bad_alloc'
  what():  std::bad_alloc
Aborted
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ASAN, "AddressSanitizer heap-use-after-free close_file"),
        (BARE_ASAN, "AddressSanitizer attempting double-free"),
        (
            UBSAN,
            "UndefinedBehaviorSanitizer signed integer overflow: N + N cannot be util.c",
        ),
        (TSAN, "ThreadSanitizer data race worker"),
        (LSAN, "LeakSanitizer detected memory leaks read_config"),
        (MSAN, "MemorySanitizer use-of-uninitialized-value parse_header"),
        (GLIBC, "assert Assertion `n > N' failed main.c"),
        (MUSL, "assert Assertion failed: n > N main.c"),
        (FREE, "malloc free(): invalid pointer"),
        (SMASH, "glibc stack smashing detected"),
        (
            RUST,
            "panic called `Result::unwrap()` on an `Err` value: "
            "Os { code: N, kind: StorageFull } main.rs",
        ),
        (OLD_RUST, "panic index out of bounds: the len is N main.rs"),
        (
            GO,
            "panic runtime error: invalid memory address or nil pointer dereference main.readAll",
        ),
        (PYTHON, "exception OSError: [Errno N] Too many open files: '/tmp' main"),
        (
            JAVA,
            "exception java.io.IOException: No space left on device "
            "java.io.FileOutputStream.writeBytes",
        ),
        (
            CPP,
            "terminate after throwing an instance of 'std::bad_alloc' std::bad_alloc",
        ),
        ("cat: /etc/hostname: Input/output error\n", "None"),
        ("panic: out of paper\n", "None"),
        ("", "None"),
    ],
)
def test_reports(text: str, words: str) -> None:
    said = report(text)
    found = " ".join(filter(None, (said.kind, said.message, said.frame))) if said else "None"
    assert found == words


def test_the_same_failure_in_another_run() -> None:
    other = (
        ASAN.replace("12345", "777")
        .replace("0x602000000010", "0x60a0000000f0")
        .replace("build-8f2a", "build-0000")
    )
    assert crash([("prog", "SIGABRT")], other) == crash([("prog", "SIGABRT")], ASAN)
    elsewhere = ASAN.replace("close_file", "open_file")
    assert crash([("prog", "SIGABRT")], elsewhere) != crash([("prog", "SIGABRT")], ASAN)


def test_only_signals_of_its_own_making_are_crashes() -> None:
    assert crash([("a", "SIGKILL"), ("b", "SIGPIPE"), ("c", "SIGTERM")], "") == ""
    died = [("b", "SIGSEGV"), ("a", "SIGABRT"), ("b", "SIGSEGV")]
    assert crash(died, "") == "crash SIGABRT a SIGSEGV b"
    assert crash([], PYTHON) == ""
    assert crash([], LSAN) == "crash LeakSanitizer detected memory leaks in read_config"


def test_what_differs_from_run_to_run() -> None:
    one = normal("worker 12 at 0x7fff12: cannot open /tmp/x.AbC12/log of /proc/99/fd  in 3.5 s")
    other = normal("worker 7 at 0x7ffe00: cannot open /tmp/x.ZZZZ9/b of /proc/1/fd in 12.25 s")
    assert one == other
