"""Globs as the scenario has them, compiled to one regular expression each.

`*` and `?` stop at `/`, `**` does not; a pattern without `/` is compared with
the last component, as .gitignore has it. In a command line they do not stop: it
is no path, though words of it are. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from injector.words.model import Globs


@cache
def pattern(glob: str, *, line: bool = False) -> re.Pattern[str]:
    """Return the expression that fully matches what `glob` means, in a path or a command line."""
    # An absolute path without arguments stays a path: /usr/bin/* is not all below it.
    if line and not (glob.startswith("/") and " " not in glob):
        folder, many, one, but = "[^ ]*/", ".*", ".", ""
    else:
        folder, many, one, but = ".*/", "[^/]*", "[^/]", "/"
    head = glob.partition(" ")[0] if line else glob
    out = [] if "/" in head else [f"(?:{folder})?"]
    at = 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if char == "*":
            if glob.startswith("*", at):
                at += 1
                if glob.startswith("/", at):  # a/**/b is also a/b
                    at += 1
                    out.append("(?:.*/)?")
                else:
                    out.append(".*")
            else:
                out.append(many)
        elif char == "?":
            out.append(one)
        elif char == "[":
            end = glob.find("]", at + 1)
            if end < 0:
                out.append(re.escape(char))
            else:
                body = glob[at:end].replace("\\", "\\\\").replace("[", "\\[")
                negated = body.startswith(("!", "^"))
                out.append(f"[^{but}{body[1:]}]" if negated else f"[{body}]")
                at = end + 1
        else:
            out.append(re.escape(char))
    return re.compile("".join(out), re.DOTALL)


def unclosed(glob: str) -> bool:
    """Return whether a `[` opens no class, so that it stands for itself."""
    at = glob.find("[")
    while at >= 0:
        end = glob.find("]", at + 2)
        if end < 0:
            return True
        at = glob.find("[", end)
    return False


def matcher(globs: Globs, *, line: bool = False) -> Callable[[str], bool]:
    """Return the test of one text: some include (or none given) and no exclude."""
    include = tuple(pattern(glob, line=line).fullmatch for glob in globs.include)
    exclude = tuple(pattern(glob, line=line).fullmatch for glob in globs.exclude)

    def test(text: str) -> bool:
        if include and not any(match(text) for match in include):
            return False
        return not any(match(text) for match in exclude)

    return test
