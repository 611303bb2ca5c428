"""What `inject run` says on stderr: the seed, the faults as they happen, the summary.

Never writes to stdout: that is the target's.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Collection, Sequence

from injector.faces.plain import plain
from injector.rules.decide import Totals
from injector.rules.scenario.values import duration_text, probability_text
from injector.session.session import Ended
from injector.words.events import Control, Event, Injection, TaskStart
from injector.words.model import Rule, Warning
from injector.words.syscalls import signal_name


def say(text: str, keep: str = "") -> None:
    """Write one line to stderr, whatever the target's names hold: as `plain` shows it.

    A stderr that is closed, full or not read any more must not end the run. `keep` are control
    characters that stand nevertheless.
    """
    data = plain(text, keep).encode() + b"\n"
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(2, data) :]


class Printer:
    """Turns events into lines."""

    def __init__(self, *, faults: bool, quiet: bool = False) -> None:
        self._faults = faults
        self._quiet = self._warned = quiet
        self._processes: set[int] = set()

    def show(self, event: Event) -> None:
        """Print an event, if it is one for people."""
        match event:
            case TaskStart(pid=pid):
                self._processes.add(pid)
            case Injection():
                if self._faults:
                    say(fault_line(event, many=len(self._processes) > 1))
                if not self._quiet and "freeze" in event.fault.split(", "):
                    say(freeze_line(event))
            case Control(what="timeout"):
                say(f"inject: time is up: {event.detail}")
            case Control(what="stop", detail=detail) if "SIGKILL" in detail:
                say(f"inject: the target went on after SIGTERM: {detail}")
            case Control(what="no_new_privs") if not self._quiet:
                say(
                    "inject: warning: without CAP_SYS_ADMIN the target runs with no_new_privs: "
                    "setuid programs in it get no privilege"
                )
            case Control(what="stuck") if not self._quiet:
                say(
                    f"inject: warning: {event.detail} does not stop, for it waits in a call that "
                    "nothing interrupts (state D); it is let go as inject ends"
                )
            case Control(what="blind-spot") if not self._warned:
                self._warned = True
                say(
                    "inject: warning: the target uses io_uring, whose I/O no rule sees; "
                    "-e io_uring_setup:error=ENOSYS makes most programs do without"
                )
            case _:
                pass


def fault_line(event: Injection, *, many: bool) -> str:
    """Return an injection as strace prints one."""
    who = f"[{event.pid} {event.process}] " if many else ""
    call = f"{event.syscall}({event.args})"
    faults = [word for word in event.fault.split(", ") if not word.startswith(("error", "retval"))]
    also = "".join(f" ({word})" for word in faults)
    return f"inject: {who}{call} = {event.result}{also} (INJECTED: {event.rule})"


def freeze_line(event: Injection) -> str:
    """Return how a frozen process goes on: until then the run seems to hang."""
    pid = event.pid
    return (
        f"inject: {event.process} ({pid}) is frozen at {event.syscall}: "
        f"gdb -p {pid} looks into it, kill -CONT {pid} lets it go on"
    )


def ended_line(command: str, ended: Ended) -> str:
    """Return how the target ended."""
    if ended.signal is not None:
        how = f"was killed by {signal_name(ended.signal)}"
    else:
        how = f"exited with status {ended.exit}"
    late = " after its time was up" if ended.timed_out else ""
    return f"inject: {command} {how}{late}, {ended.seconds:.2f} s"


def attached_line(
    pids: list[int], names: list[str], threads: list[int], duration: int | None
) -> str:
    """Return whom we have attached to, and how it ends."""
    whom = ", ".join(
        f"{name} ({pid}, {count} thread{'s' * (count != 1)})"
        for pid, name, count in zip(pids, names, threads, strict=True)
    )
    them = "it" if len(pids) == 1 else "them"
    until = f"for {duration_text(duration)}" if duration else f"Ctrl-C lets {them} go"
    return f"inject: attached to {whom}; {until}"


def left_line(pids: list[int], names: list[str], ended: Ended) -> str:
    """Return how a session that was attached ended."""
    whom = ", ".join(f"{name} ({pid})" for pid, name in zip(pids, names, strict=True))
    if ended.detached:
        runs = "it runs" if len(pids) == 1 else "they run"
        return f"inject: let go of {whom} after {ended.seconds:.2f} s; {runs} on"
    how = f"was killed by {signal_name(ended.signal)}" if ended.signal else "ended"
    how = f"exited with status {ended.exit}" if ended.exit is not None else how
    return f"inject: {whom} {how}, {ended.seconds:.2f} s"


def run_left_line(command: str, ended: Ended) -> str:
    """Return that a launched target was let go, and what stays behind."""
    return (
        f"inject: let go of {command} after {ended.seconds:.2f} s; it runs on, and a small "
        "keeper process lets its calls be made until it ends"
    )


def remains_line(pids: list[int], names: list[str], calls: Collection[str], keeper: int) -> str:
    """Return what stays behind of a filter that running processes got."""
    whom = ", ".join(f"{name} ({pid})" for pid, name in zip(pids, names, strict=True))
    end = "end" if len(pids) > 1 else "ends"
    shown = ", ".join([*sorted(calls)[:MANY], "and those that make and end tasks"])
    more = f" ({len(calls) - MANY} more calls)" if len(calls) > MANY else ""
    return (
        f"inject: what stays behind until {whom} {end}: a filter for {shown}{more}; "
        f"the keeper (pid {keeper}), which lets each of these calls be made: do not kill it"
    )


def nearest_miss(totals: Totals) -> str:
    """Return why a rule never fired: what came nearest to it."""
    rule = totals.rule
    site = rule.match.site
    if site is not None and not totals.matched and not totals.misses:
        if not totals.seen:
            return f"task {site.lineage} never made a {site.syscall}"
        return f"task {site.lineage} made {site.syscall} {_times(totals.seen)} only"
    names = rule.match.syscalls_text.replace(",", ", ") or ", ".join(sorted(rule.match.syscalls))
    if totals.seen == 0:
        return f"{names} never seen{_kernel_tests(rule)}"
    if totals.matched == 0:
        # The tests are made in this order, so the last of them came nearest.
        key = max(totals.misses, key=list(_MISSED).index)
        count = totals.misses[key]
        what = _MISSED[key].format(text=_asked(rule, key))
        first = totals.examples.get(key, "")
        if key in ("path", "address") and not first:
            first = "one that could not be read"
        elif first.startswith(("pipe:[", "socket:[")):  # the number says nothing
            first = f"a {first.partition(':')[0]}"
        such = f", the first was {first}" if first else ""
        times = "" if count == totals.seen else f"{_times(count)} "
        return f"{names} seen {_times(totals.seen)}, {times}{what}{such}"
    if totals.due == 0:
        return f"matched {_times(totals.matched)}, never due{_schedule(rule)}"
    due = f"due {_times(totals.due)}"
    if totals.preempted:
        first = ", ".join(
            f"{name} fired first, {_times(n)}" for name, n in totals.preempted.items()
        )
        left = totals.due - sum(totals.preempted.values())
        if not left:
            return f"{due}, but {first}"
        due = f"{due}, but {first}; {_times(left)} left"
    chance = probability_text(rule.probability)
    return f"{due}, and the coin of {chance} never fell so"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


_MISSED = {
    "site": "before {text}",
    "during": "by the dynamic loader (during: startup includes it)",
    "args": "with other arguments than {text}",
    "fd": "on other descriptors than {text}",
    "thread": "in threads other than {text}",
    "process": "in processes other than {text}",
    "path": "on files other than {text}",
    "address": "to addresses other than {text}",
    "caller": "by callers other than {text}",
}


def _asked(rule: Rule, key: str) -> str:
    match = rule.match
    texts = {
        "args": ", ".join(f"{one.parameter}={one.text}" for one in match.args),
        "fd": match.fd.text if match.fd else "",
        "thread": str(match.thread or ""),
        "process": str(match.process or ""),
        "path": str(match.path or ""),
        "address": ", ".join(one.text for one in match.address),
        "caller": str(match.caller or ""),
        "site": str(match.site or ""),
    }
    return texts.get(key, "")


def _kernel_tests(rule: Rule) -> str:
    return f" with {_asked(rule, 'args')}" if rule.match.args else ""


def _schedule(rule: Rule) -> str:
    if rule.limit == 0:
        return ": its limit is 0"
    if rule.when.first > 1:
        return f": when is {rule.when}, counted per {rule.per}"
    return ": outside of its time (after, until)" if rule.after or rule.until else ""


MANY = 10
"""So many rules without a call, or warnings, are shown one by one."""


def unfired_lines(all_totals: list[Totals]) -> list[str]:
    """Return why each rule that never fired did not; many that saw no call share a line."""
    shown, folded = _fold(all_totals)
    lines = [f"{one.rule.name} never fired: {nearest_miss(one)}" for one in shown if not one.fired]
    return [f"inject: {line}" for line in (*lines, *folded)]


def warning_lines(warnings: Sequence[Warning]) -> list[str]:
    """Return the warnings as lines, the first of many and how to see the others."""
    shown = [one for one in warnings if not one.hint]
    lines = [f"inject: warning: {one.rule}: {one.message}" for one in shown[:MANY]]
    if len(shown) > MANY:
        lines.append(f"inject: {len(shown) - MANY} more warnings: inject check shows them")
    return lines


def _fold(all_totals: list[Totals]) -> tuple[list[Totals], list[str]]:
    """Return the rules to be shown one by one, and a text for each family left out.

    A set of calls in strace's grammar makes a rule of each, most of which see nothing.
    """
    unseen = Counter(one.rule.family for one in all_totals if not one.seen)
    many = {family: count for family, count in unseen.items() if count > MANY}
    shown = [one for one in all_totals if one.seen or one.rule.family not in many]
    rest = []
    for family, count in many.items():
        more = " more" if any(one.rule.family == family for one in shown) else ""
        of = f" of {family}" if family else ""
        rest.append(f"{count}{more} rules{of} saw no call")
    return shown, rest


def _plain(number: float) -> str:
    """Return a number in plain digits, with as many of them as say something."""
    if number >= 1000:
        return f"{number:.0f}"
    return f"{number:.4g}" if number >= 0.0001 or not number else "<0.0001"


def rule_table(all_totals: list[Totals]) -> list[str]:
    """Return the table of the rules' counts, aligned."""
    rows: list[tuple[str, ...]] = [("rule", "seen", "matched", "due", "fired", "expected")]
    shown, folded = _fold(all_totals)
    for totals in shown:
        counts = (totals.seen, totals.matched, totals.due, totals.fired)
        rows.append((totals.rule.name, *map(str, counts), _plain(totals.expected)))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = [
        "  "
        + row[0].ljust(widths[0])
        + "".join("  " + text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    return lines + [f"  {text}" for text in folded]
