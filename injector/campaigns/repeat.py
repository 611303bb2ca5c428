"""The line that makes one run of a campaign again, for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from injector.campaigns.outcome import Verdict

_ENDLESS = (Verdict.HANG, Verdict.STORM)


def repeat_line(
    words: Sequence[str],
    rules: Sequence[str],
    number: int,
    *,
    verdict: str | None,
    fingerprint: str = "",
    prints: bool,
    limit: float | None = None,
    setup: str | None = None,
    check: str | None = None,
    teardown: str | None = None,
    workdir: str | None = None,
) -> str:
    """Return a line of sh(1) that repeats a run in the folder of its campaign.

    Args:
        words: the command, `{run}` in it already replaced.
        rules: in their one-line form.
        number: the run's, INJECT_RUN.
        verdict: what the run came to: whose cause the line has to show.
        fingerprint: the run's, for what the verdict alone does not say.
        prints: whether the command writes to stdout: what goes to a terminal is written line by
            line, by other calls than what goes to a file; some know /dev/null and write nothing.
        limit: seconds after which a run counts as hung.
    """
    checked = check if verdict == Verdict.CHECK else None
    leaves_files = fingerprint.startswith("leak temporary files")
    timeout = [] if limit is None or verdict not in _ENDLESS else ["--timeout", f"{limit:.4g}s"]
    options = [*timeout, *(word for rule in rules for word in ("-e", rule))]
    line = f"{shlex.join(['inject', 'run', *options, '--', *words])} </dev/null"
    if leaves_files:
        line = f"export TMPDIR=$(mktemp -d) && {line}"
    if checked is not None and "INJECT_OUTPUT" in checked:
        line = (
            "export INJECT_OUTPUT=$(mktemp -d) && "
            f'{line} >"$INJECT_OUTPUT/stdout" 2>"$INJECT_OUTPUT/stderr"'
        )
    elif prints:
        line = f'out=$(mktemp) && {line} >"$out"'
    if leaves_files:
        line += '; ls -A "$TMPDIR"'
    if setup is not None:
        line = f"{_shell(setup)} && {line}"
    if checked is not None:
        line += f"; INJECT_STATUS=$? {_shell(checked)}"
    if teardown is not None:
        line += f"; s=$?; {_shell(teardown)}; (exit $s)"
    texts = (setup, checked, teardown, *words)
    if any("INJECT_RUN" in text for text in texts if text):
        line = f"export INJECT_RUN={number}; {line}"
    if workdir is not None:
        line = f'd=$(mktemp -d) && cp -a {shlex.quote(workdir)}/. "$d" && cd "$d" && {line}'
    return line


def _shell(text: str) -> str:
    """Return a shell text as one command: in a line it could end in a comment or in `&`."""
    return shlex.join(["sh", "-c", text])
