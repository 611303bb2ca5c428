"""The line that makes one run of a campaign again, for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from injector.campaigns.outcome import Verdict


def repeat_line(
    words: Sequence[str],
    rules: Sequence[str],
    number: int,
    *,
    verdict: str | None,
    prints: bool,
    setup: str | None = None,
    check: str | None = None,
    workdir: str | None = None,
) -> str:
    """Return a line of sh(1) that repeats a run in the folder of its campaign.

    Args:
        words: the command, `{run}` in it already replaced.
        rules: in their one-line form.
        number: the run's, INJECT_RUN.
        verdict: what the run came to: whose cause the line has to show.
        prints: whether the command writes to stdout: what goes to a terminal is written line by
            line, by other calls than what goes to a file.
    """
    checked = check if verdict == Verdict.CHECK else None
    options = [word for rule in rules for word in ("-e", rule)]
    line = shlex.join(["inject", "run", *options, "--", *words])
    if checked is not None and "INJECT_OUTPUT" in checked:
        line = (
            "export INJECT_OUTPUT=$(mktemp -d) && "
            f'{line} >"$INJECT_OUTPUT/stdout" 2>"$INJECT_OUTPUT/stderr"'
        )
    elif verdict == Verdict.SILENT:
        line += " >out"
    elif prints:
        line += " >/dev/null"
    if setup is not None:
        line = f"{{ {setup}; }} && {line}"
    if checked is not None:
        line += f"; export INJECT_STATUS=$?; ({checked})"
    if any("INJECT_RUN" in text for text in (setup, checked, *words) if text):
        line = f"export INJECT_RUN={number}; {line}"
    if workdir is not None:
        line = f'd=$(mktemp -d) && cp -a {shlex.quote(workdir)}/. "$d" && cd "$d" && {line}'
    return line
