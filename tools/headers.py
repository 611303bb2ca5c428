"""Asks the C compiler for the values of the kernel's and the C library's constants."""

import re
import subprocess
import tempfile
from collections.abc import Iterable

_INTRO = "#define _GNU_SOURCE 1\n"


def macros(headers: Iterable[str], defines: Iterable[str] = ()) -> dict[str, str]:
    """Every macro that the headers define, with its replacement text (gcc -E -dM)."""
    source = _INTRO + "".join(f"#include <{header}>\n" for header in headers)
    command = ["gcc", "-E", "-dM", "-xc", "-", *(f"-D{define}" for define in defines)]
    text = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    return dict(re.findall(r"^#define (\w+)(?: (.*))?$", text.stdout, re.M))


def numbers(header: str, defines: Iterable[str] = ()) -> dict[str, int]:
    """System call numbers of one unistd header: __NR_name."""
    defined = macros([header], defines)
    found = {}
    for name, text in defined.items():
        if name.startswith("__NR_") and not name.startswith("__NR_syscalls"):
            value = defined.get(text, text)
            if value.isdigit():
                found[name.removeprefix("__NR_")] = int(value)
    found.pop("arch_specific_syscall", None)
    return found


def values(headers: Iterable[str], names: Iterable[str]) -> dict[str, int]:
    """The value of each constant expression, by compiling and running a program."""
    names = list(names)
    lines = [_INTRO, "#include <stdio.h>\n", *(f"#include <{header}>\n" for header in headers)]
    lines.append("int main(void){\n")
    lines += [f'printf("{name} %lld\\n", (long long)({name}));\n' for name in names]
    lines.append("return 0;}\n")
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/values"
        build = ["gcc", "-w", "-xc", "-", "-o", program]
        subprocess.run(build, input="".join(lines), text=True, check=True)
        text = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}
