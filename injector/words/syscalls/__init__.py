"""What is known of system calls: names and numbers, parameters, groups, errors and constants.

The tables are generated from the kernel's headers and the manual by `tools/tables.py`. Nothing
here reads a file of the system, asks the kernel (but for the machine's name) or knows of rules;
the large tables are loaded when first asked for.
"""

from ._advice import BRK_ALONE, NEVER, RISKY, VDSO
from ._calls import (
    AARCH64,
    ARCHES,
    GROUPS,
    I386,
    LIBRARY_NAMES,
    X86_64,
    Arch,
    Kind,
    Parameter,
    Signature,
    compat,
    group,
    native,
    same_on,
    signature,
)
from ._constants import Constant, Family, families, family, words_of
from ._errors import (
    ERRNOS,
    KERNEL_ERRNOS,
    SIGNALS,
    SIGRTMAX,
    SIGRTMIN,
    errno_message,
    errno_name,
    errno_number,
    errnos_of,
    signal_name,
    signal_number,
    syscalls_with,
)

__all__ = [
    "AARCH64",
    "ARCHES",
    "BRK_ALONE",
    "ERRNOS",
    "GROUPS",
    "I386",
    "KERNEL_ERRNOS",
    "LIBRARY_NAMES",
    "NEVER",
    "RISKY",
    "SIGNALS",
    "SIGRTMAX",
    "SIGRTMIN",
    "VDSO",
    "X86_64",
    "Arch",
    "Constant",
    "Family",
    "Kind",
    "Parameter",
    "Signature",
    "compat",
    "errno_message",
    "errno_name",
    "errno_number",
    "errnos_of",
    "families",
    "family",
    "group",
    "native",
    "same_on",
    "signal_name",
    "signal_number",
    "signature",
    "syscalls_with",
    "words_of",
]
