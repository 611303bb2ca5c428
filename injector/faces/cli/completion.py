"""`inject completion`: what a shell needs to complete our commands, options, scenarios, rules."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from injector.words.errors import InjectError


def scenarios(ctx: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Return the shipped scenarios that begin so, and let the shell add files."""
    from injector.rules.scenario.load import shipped

    if "command" in ctx.meta:  # behind the --
        return [CompletionItem(start, type="file")]
    found = [
        CompletionItem(one.name, help=one.about) for one in shipped() if one.name.startswith(start)
    ]
    return found or [CompletionItem(start, type="file")]


def rules(ctx: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Return how the rule of a `-e` can go on."""
    return rule_words(start)


def rule_words(start: str) -> list[CompletionItem]:
    """Return how a rule that begins so can go on: calls and groups, keys, values."""
    from injector.rules.scenario.sets import end_of_set

    strace, begin = "", 0
    for prefix in ("inject=", "fault="):
        if start.startswith(prefix):
            strace, begin = prefix, len(prefix)
    end = begin + end_of_set(start[begin:])
    if not strace and "=" in start[:end]:
        end = -1  # no set at all: `error=EMFILE`
    elif end >= len(start):
        at = max(begin, start.rfind(",") + 1)
        at += len(start[at:]) - len(start[at:].lstrip("!"))
        words: dict[str, str] = dict(_calls())
        if not strace and at == 0 and start:
            words |= _keys(())
        return _items(start, at, words)
    calls = start[begin : max(end, begin)]
    at = start.rfind(":") + 1
    key, equals, _ = start[at:].partition("=")
    if not equals:
        given = {part.partition("=")[0] for part in start[end + 1 : at].split(":")}
        return _items(start, at, _strace_keys(given) if strace else _keys(given, calls))
    at = max(at + len(key) + 1, start.rfind(",") + 1)
    return _items(start, at, dict(_values(key, calls, start[at:])))


def _items(start: str, at: int, words: dict[str, str]) -> list[CompletionItem]:
    """Return the words that go on as `start` does from `at`; no shell puts a space behind them."""
    stem = start[at:].lower()
    return [
        CompletionItem(start[:at] + word, type="part", help=about)
        for word, about in words.items()
        if word.lower().startswith(stem)
    ]


def _calls() -> Iterator[tuple[str, str]]:
    from injector.words.syscalls import GROUPS, native

    yield from ((name, "") for name in sorted(native().numbers))
    yield from ((f"%{name}", "") for name in sorted(GROUPS))


def _keys(given: Iterable[str], calls: str = "") -> dict[str, str]:
    from injector.rules.scenario.keys import RULE
    from injector.words.syscalls import native, signature

    # What is written most often comes first.
    first = ("error", "when", "probability", "path")
    names = [*first, *(name for name in RULE if name not in (*first, "syscalls", "args"))]
    found = {f"{name}=": RULE[name].about for name in names if name not in given}
    for call in calls.split(","):
        known = signature(call, native())
        for one in known.parameters if known else ():
            if f"args.{one.name}" not in given:
                found[f"args.{one.name}="] = one.ctype
    return found


def _strace_keys(given: Iterable[str]) -> dict[str, str]:
    names = "error when retval signal delay_enter delay_exit syscall poke_enter poke_exit"
    return {f"{name}=": "" for name in names.split() if name not in given}


def _values(key: str, calls: str, stem: str) -> Iterator[tuple[str, str]]:
    from injector.rules.scenario.keys import RULE
    from injector.words.syscalls import ERRNOS, errno_message, errnos_of

    if key == "error":
        # All of them are many; by their manual pages the calls fail in a few ways.
        likely = [name for call in calls.split(",") for name in errnos_of(call)]
        for name in likely if likely and not stem else ERRNOS:
            yield name, errno_message(name)
    elif key in RULE:
        yield from ((word, "") for word in _enumerated(RULE[key].schema))


def _enumerated(schema: dict[str, Any]) -> Iterator[str]:
    if schema.get("const") is True:
        yield "true"
    yield from (word for word in schema.get("enum", ()) if isinstance(word, str))
    for kind in ("anyOf", "oneOf"):
        for below in schema.get(kind, ()):
            yield from _enumerated(below)
    if "items" in schema:
        yield from _enumerated(schema["items"])


class Bash(BashComplete):
    """Completion in bash, whose words also end at = and :, as the rules' own words do.

    So the words are taken from the line, and of what completes one only the part behind the
    last such character is handed back: that is all bash replaces.
    """

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion kind value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \
COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="${COMP_WORDS[COMP_CWORD]}" \
COMP_WORDBREAKS="$COMP_WORDBREAKS" %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    for completion in $response; do
        IFS=',' read -r kind value <<< "$completion"
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
            part) COMPREPLY+=("$value"); compopt -o nospace ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
    _cut = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the incomplete one, and that."""
        line = os.environ.get("COMP_LINE")
        if line is None:  # a script of ours from before, or click's
            return super().get_completion_args()
        words = split_arg_string(line)
        word = os.environ.get("COMP_WORD", "")
        last = words.pop() if words and (word or not line[-1:].isspace()) else ""
        if not word.startswith(("'", '"')):  # within quotes bash breaks nothing
            breaks = set(os.environ.get("COMP_WORDBREAKS", "")) - set(" \t\n\"'")
            self._cut = max((last.rfind(one) + 1 for one in breaks), default=0)
        return words[1:], last

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item as the script takes it."""
        return f"{item.type},{item.value[self._cut :]}"


class Zsh(ZshComplete):
    """Completion in zsh; a part of a rule gets no space behind it."""

    source_template = (
        ZshComplete.source_template.replace(
            """        elif [[ "$type" == "dir" ]]; then
""",
            """        elif [[ "$type" == "part" ]]; then
            parts+=("$key")
        elif [[ "$type" == "dir" ]]; then
""",
        )
        .replace(
            """    if [ -n "$completions" ]; then
""",
            """    if [ -n "$parts" ]; then
        compadd -U -V unsorted -S '' -a parts
    fi

    if [ -n "$completions" ]; then
""",
        )
        .replace("local -a completions\n", "local -a completions parts\n")
    )

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item as the script takes it: type, word, description or _."""
        if item.type == "part":
            return f"part\n{item.value}\n_"
        return super().format_completion(item)


class Fish(FishComplete):
    """Completion in fish, with words that have commas."""

    source_template = FishComplete.source_template.replace(
        'string split ","', 'string split -m 1 ","'
    )

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item as the script takes it; fish itself puts no space behind = and :."""
        text = super().format_completion(item)
        return f"plain{text.removeprefix('part')}" if item.type == "part" else text


def register() -> None:
    """Let click complete by our classes."""
    for kind in (Bash, Zsh, Fish):
        add_completion_class(kind)


@click.command(
    epilog="\b\nExamples:\n"
    '  eval "$(inject completion bash)"      # in ~/.bashrc\n'
    '  eval "$(inject completion zsh)"       # in ~/.zshrc, behind compinit\n'
    "  inject completion fish | source       # in ~/.config/fish/config.fish"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL."""
    register()
    kind = get_completion_class(shell)
    if kind is None:
        raise InjectError(f"no completion for {shell}")
    script = kind(ctx.find_root().command, {}, "inject", "_INJECT_COMPLETE")
    # Not source(): it asks the installed bash for its version, which may be another.
    click.echo(kind.source_template % script.source_vars())
