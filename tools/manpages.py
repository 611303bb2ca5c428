"""Reads section 2 of the manual as it is installed: prototypes (SYNOPSIS) and errors (ERRORS).

The roff source is read, not the rendered page, so the result does not depend on a formatter.
"""

import functools
import gzip
import re
from pathlib import Path

MANUAL = Path("/usr/share/man")
_FONTS = re.compile(r"\\f[A-Z0-9]|\\f\(..|\\f\[\w*\]")
_PROTOTYPE = re.compile(r"([\w][\w \*]*?)\b(\w+)\(((?:[^()]|\([^()]*\))*)\)\s*(?:;|\[\[|$)", re.M)


def roff_words(line: str) -> list[str]:
    """Split a macro's arguments as roff does: blanks separate, double quotes join."""
    words, current, quoted, started = [], "", False, False
    for piece in re.findall(r'""|"|[^"]', line):
        if piece == '"':
            quoted, started = not quoted, True
        elif piece == '""' and not quoted:
            started = True
        elif piece == " " and not quoted:
            if started or current:
                words.append(current)
            current, started = "", False
        else:
            current += '"' if piece == '""' else piece
    if started or current:
        words.append(current)
    return words


def plain(text: str) -> str:
    """Drop roff's escapes."""
    text = _FONTS.sub("", text)
    for old, new in (("\\-", "-"), ("\\ ", " "), ("\\&", ""), ("\\e", "\\"), ("\\/", "")):
        text = text.replace(old, new)
    return text.replace("\\,", "").replace("\\(aq", "'")


@functools.cache
def pages() -> dict[str, str]:
    """Every page of section 2 that is a text of its own, by name."""
    found = {}
    for path in sorted((MANUAL / "man2").glob("*.2.gz")):
        text = read(path)
        if not path.is_symlink() and not text.startswith(".so "):
            found[path.name.removesuffix(".2.gz")] = text
    return found


@functools.cache
def page_of(name: str, number: int = 2) -> Path | None:
    """The file that documents `name`, or None: follows links and .so lines."""
    path = MANUAL / f"man{number}" / f"{name}.{number}.gz"
    if not path.exists():
        return None
    path = path.resolve()
    if link := re.match(r"\.so man(\d)/(\w+)\.", read(path)):
        return page_of(link[2], int(link[1]))
    return path


@functools.cache
def read(path: Path) -> str:
    """A page's source."""
    return gzip.open(path, "rt", encoding="utf-8").read()


def section(text: str, title: str) -> str:
    """The body of one .SH section."""
    found = re.search(rf'^\.SH "?{title}"?\n(.*?)(?=^\.SH |\Z)', text, re.S | re.M)
    return found[1] if found else ""


def logical_lines(body: str) -> list[tuple[str, str]]:
    """(macro, text) of each line, fonts removed; macro is "" for running text."""
    lines = []
    for line in body.replace("\\\n", " ").split("\n"):
        if line.startswith(('.\\"', "'")):
            continue
        if not line.startswith("."):
            lines.append(("", plain(line)))
            continue
        macro, _, rest = line[1:].partition(" ")
        words = roff_words(rest)
        joiner = "" if len(macro) == 2 and set(macro) <= set("BIR") else " "
        lines.append((macro, plain(joiner.join(words))))
    return lines


def split_parameters(text: str) -> list[tuple[str, str]]:
    """("int", "fd") for each parameter of a C prototype; pages' qualifiers are dropped."""
    text = " ".join(re.sub(r"/\*.*?\*/", "", text).split())
    if text in ("", "void"):
        return []
    found = []
    for piece in re.split(r",\s*(?![^()\[\]]*[)\]])", text):
        piece = re.sub(r"\b(_Nullable|restrict)\b\s*", "", piece).strip()
        if piece == "...":
            found.append(("unsigned long", "arg"))
            continue
        array = re.match(r"(.*?)(\w+)\s*\[.*\]$", piece)
        if array:
            kind, name = array[1].strip() + " *", array[2]
        else:
            match = re.match(r"(.*?)(\w+)$", piece)
            if not match:
                raise ValueError(f"not a parameter: {piece!r} in {text!r}")
            kind, name = match[1].strip(), match[2]
        found.append((re.sub(r"\s*\*", " *", kind).replace("* *", "**"), name))
    return found


@functools.cache
def prototypes() -> dict[str, list[tuple[str, str]]]:
    """Parameters by function name; the longest prototype where a page shows several."""
    found: dict[str, list[tuple[str, str]]] = {}
    for page, text in pages().items():
        body = re.split(r"^\.RS -4", section(text, "SYNOPSIS"), flags=re.M)[0]
        shown = "\n".join(
            words if macro in ("", "B", "I", "R", "BI", "BR", "IB", "RI", "IR", "RB") else ""
            for macro, words in logical_lines(body)
            if not words.lstrip().startswith("#")
        )
        for match in _PROTOTYPE.finditer(re.sub(r"/\*.*?\*/", "", shown, flags=re.S)):
            name, text_of = match[2], match[3]
            if name == "syscall":
                name, _, text_of = text_of.strip().removeprefix("SYS_").partition(",")
                name = name.strip()
            if page.startswith(("ioctl_", "seccomp_unotify")) or "(*" in text_of:
                continue
            parameters = split_parameters(text_of)
            if len(parameters) > len(found.get(name, ())):
                found[name] = parameters
            found.setdefault(name, parameters)
    return found
