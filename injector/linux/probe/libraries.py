"""The libraries that inject stands on: each is loaded, in a forked child, and used."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import os
import warnings

from injector.linux import seccomp
from injector.linux.probe.filters import PROBED
from injector.linux.probe.finding import Finding, State
from injector.linux.probe.host import allowance
from injector.linux.probe.trial import Channel, attempt, number
from injector.words.subscription import Subscription
from injector.words.syscalls import native

_INSTALL_LIBSECCOMP = (
    "apt install libseccomp2 (Debian, Ubuntu), dnf install libseccomp (Fedora), "
    "apk add libseccomp (Alpine)"
)
_LOADING = 9.0  # seconds; from a cold or a remote disk three were not enough
_NOTIFY_API = 5  # seccomp_api_get(3): from this level on there is SCMP_ACT_NOTIFY


class _Version(ctypes.Structure):
    _fields_ = tuple((part, ctypes.c_uint) for part in ("major", "minor", "micro"))


def _libseccomp(channel: Channel) -> None:
    name = ctypes.util.find_library("seccomp")
    if name is not None:
        asked = ctypes.CDLL(name).seccomp_version
        asked.restype = ctypes.POINTER(_Version)
        found = asked().contents
        channel.tell(version=f"{found.major}.{found.minor}.{found.micro}")
    try:
        pyseccomp = importlib.import_module("pyseccomp")
    except RuntimeError:
        channel.tell(absent="libseccomp")
        return
    except ImportError:
        channel.tell(absent="pyseccomp")
        return
    channel.tell(pyseccomp=pyseccomp.__version__, api=pyseccomp.get_api())
    code = seccomp.build({native(): [Subscription(number(PROBED))]})
    channel.tell(built=len(code) > 0)


def libseccomp() -> Finding:
    """Import pyseccomp and build a filter with it (seccomp_version(3), seccomp_export_bpf(3)).

    pyseccomp raises RuntimeError at import when it does not find the library.
    """
    topic = "libseccomp"
    tried = attempt(_libseccomp, _LOADING)
    if tried["built"]:
        return Finding(
            topic,
            State.OK,
            f"libseccomp {tried['version']}, pyseccomp {tried['pyseccomp']}: a filter was built",
        )
    if tried["absent"] == "libseccomp":
        return Finding(
            topic,
            State.MISSING,
            "libseccomp is not installed",
            "It builds the filters of inject run.",
            _INSTALL_LIBSECCOMP,
        )
    if tried["absent"]:
        return Finding(
            topic,
            State.MISSING,
            "pyseccomp is not installed",
            "It is inject's way to libseccomp.",
            "pip install pyseccomp",
        )
    if tried["api"] is not None and tried["api"] < _NOTIFY_API and _newer(tried["version"]):
        return Finding(
            topic,
            State.MISSING,
            "libseccomp builds no filters that notify, as the kernel seems not to know them",
            "It asks the kernel by seccomp(2), which is old here, or forbidden by a container.",
            allowance("--security-opt seccomp=unconfined"),
        )
    return Finding(
        topic,
        State.MISSING,
        f"no filter can be built ({tried.why or 'it was empty'})",
        f"Found: libseccomp {tried['version'] or 'unknown'}. Notifications need 2.5 or newer.",
        f"update it: {_INSTALL_LIBSECCOMP}",
    )


def _newer(version: str | None) -> bool:
    """Return whether libseccomp itself knows notifications: 2.5.0 and newer."""
    return version is not None and tuple(map(int, version.split("."))) >= (2, 5)


def _python_ptrace(channel: Channel) -> None:
    # Importing it warns of utcfromtimestamp on Python 3.12 and newer.
    warnings.simplefilter("ignore")
    binding = importlib.import_module("ptrace.binding.func")
    version = importlib.import_module("ptrace.version").__version__
    channel.tell(version=version, usable=callable(binding.ptrace))


def python_ptrace() -> Finding:
    """Import python-ptrace's binding layer, which carries the ptrace engine's requests."""
    tried = attempt(_python_ptrace, _LOADING)
    if tried.ok and tried["usable"]:
        return Finding("python-ptrace", State.OK, f"python-ptrace {tried['version']}")
    return Finding(
        "python-ptrace",
        State.MISSING,
        f"cannot be imported ({tried.why})",
        "The ptrace engine needs it. A distribution named ptrace is another one.",
        "pip install python-ptrace",
    )


def _libunwind(channel: Channel) -> None:
    for name in ("liblzma.so.5", f"libunwind-{os.uname().machine}.so.8"):
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL("libunwind-ptrace.so.0", mode=ctypes.RTLD_GLOBAL)


def libunwind() -> Finding:
    """Load libunwind-ptrace (libunwind-ptrace(3)); only rules with `caller` need it."""
    tried = attempt(_libunwind, _LOADING)
    if tried.ok:
        return Finding("libunwind", State.OK, "libunwind-ptrace loads: call stacks can be read")
    return Finding(
        "libunwind",
        State.INFO,
        "not installed, and only needed by rules that say caller:",
        tried.why,
        "apt install libunwind8 (Debian, Ubuntu), dnf install libunwind (Fedora), "
        "apk add libunwind (Alpine)",
    )
