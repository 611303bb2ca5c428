"""The line that makes one run of a campaign again, for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from injector.campaigns.outcome import Verdict
from injector.rules.scenario.values import duration_text

_ENDLESS = (Verdict.HANG, Verdict.STORM)


def repeat_line(
    words: Sequence[str],
    rules: Sequence[str],
    number: int,
    *,
    verdict: str | None,
    fingerprint: str = "",
    signal: str | None = None,
    prints: bool,
    limit: float | None = None,
    setup: str | None = None,
    check: str | None = None,
    teardown: str | None = None,
    workdir: str | None = None,
) -> str:
    """Return a line of sh(1) that repeats a run in the folder of its campaign.

    What fails in it ends it: nothing is run in another folder than the one it is meant for. The
    shell it is pasted into gets `$d`, the copy of the template, and `$out`, and nothing else.

    Args:
        words: the command, `{run}` in it already replaced.
        rules: in their one-line form.
        number: the run's, INJECT_RUN.
        verdict: what the run came to: whose cause the line has to show.
        fingerprint: the run's, for what the verdict alone does not say.
        signal: what killed the command in the run.
        prints: whether the command writes to stdout: what goes to a terminal is written line by
            line, by other calls than what goes to a file; some know /dev/null and write nothing.
        limit: seconds after which a run counts as hung.
    """
    checked = check if verdict == Verdict.CHECK else None
    leaves_files = fingerprint.startswith("leak temporary files")
    options = [word for rule in rules for word in ("-e", rule)]
    if limit is not None and verdict in _ENDLESS:
        options[:0] = ["--timeout", duration_text(round(limit * 1e9))]
    run = f"{shlex.join(['inject', 'run', *options, '--', *words])} </dev/null"
    outside, inside = [], []
    if workdir is not None:
        outside += ["d=$(mktemp -d)", f'cp -a {shlex.quote(workdir)}/. "$d"']
        inside.append('cd "$d"')
    if leaves_files:
        inside.append("TMPDIR=$(mktemp -d) && export TMPDIR")
    if checked is not None and "INJECT_OUTPUT" in checked:
        inside.append("INJECT_OUTPUT=$(mktemp -d) && export INJECT_OUTPUT")
        run += ' >"$INJECT_OUTPUT/stdout" 2>"$INJECT_OUTPUT/stderr"'
    elif prints:
        outside.append("out=$(mktemp)")
        run += ' >"$out"'
    if setup is None and checked is None and teardown is None:
        run = f"INJECT_RUN={number} {run}"
    else:
        inside.append(f"export INJECT_RUN={number}")
    if leaves_files:
        run += '; ls -A "$TMPDIR"' + (" ." if workdir is not None else "")
    if checked is not None:
        # A shell knows who was killed by a number only, the check was told the name.
        named = "s=$?; [ $s -gt 128 ] && s=SIG$(kill -l $s); INJECT_STATUS=$s"
        run += f"; {'INJECT_STATUS=$?' if signal is None else named} {_shell(checked)}"
    if setup is not None:
        run = f"{_shell(setup)} && {_group(run)}"
    if teardown is not None:
        run += f"; s=$?; {_shell(teardown)}; exit $s"
    if inside:
        run = f"({' && '.join([*inside, _group(run)])})"
    return " && ".join([*outside, run])


def _group(text: str) -> str:
    """Return commands as one that `&&` can stand before."""
    return f"{{ {text}; }}" if "; " in text else text


def _shell(text: str) -> str:
    """Return a shell text as one command: in a line it could end in a comment or in `&`."""
    return shlex.join(["sh", "-c", text])
