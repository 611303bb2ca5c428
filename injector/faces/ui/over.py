"""What lies over the panes: the help, and the details of one line. Pure."""

from __future__ import annotations

from rich.text import Text

from injector.faces.ui.cells import PLAIN, Piece, Pieces, fit, left, line, wrap
from injector.faces.ui.figures import chance
from injector.faces.ui.keys import TABLE, Do, Place, shown
from injector.faces.ui.model import Model, RuleRow
from injector.faces.ui.panes import ago
from injector.faces.ui.styles import BOLD, DIM, FOCUS
from injector.faces.ui.table import title_line
from injector.faces.ui.view import View, chosen_of, index_of


def help_lines(view: View, width: int, height: int) -> list[Text]:
    """Return the table of keys."""
    entries: list[Pieces] = []
    for title, keys in help_sections(view.owner):
        entries.append([(title, BOLD)])
        entries += [[(left("  " + names, 22), FOCUS), (about, PLAIN)] for names, about in keys]
        entries.append([])
    entries.pop()
    columns = 2 if width >= 130 else 1
    half = -(-len(entries) // columns)
    wide = (width - 2) // columns
    most = max(0, half - (height - 1))
    first = min(view.scroll, most)
    more = "" if not most else f"{first + 1} to {min(half, first + height - 1)} of {half}, ↑ ↓"
    lines = [title_line(("Keys", more), width, True)]
    for row in range(first, min(half, first + height - 1)):
        pieces: list[Piece] = [("  ", PLAIN)]
        for column in range(columns):
            at_ = row + column * half
            pieces += fit(entries[at_] if at_ < len(entries) else [], wide)
        lines.append(line(pieces, width))
    return lines + [line([], width)] * (height - len(lines))


def help_sections(owner: bool = True) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the table of keys as people read it: a title, and keys with what they do."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for one in TABLE:
        if one.where == (Place.EDIT,):
            title = "In a line of input"
        elif one.where == (Place.RULES,):
            title = "The chosen rule"
        elif one.where == (Place.CALLS,):
            title = "The chosen call"
        elif Place.TYPING in one.where or one.where == (Place.OUTPUT,):
            title = "The output"
        elif one.where in ((Place.DETAILS, Place.HELP),):
            continue
        elif one.do in _MOVES:
            title = "Moving"
        else:
            title = "Everywhere"
        groups.setdefault(title, []).append((" ".join(map(shown, one.keys)), one.about))
    return [(title, groups[title]) for title in _TITLES]


_TITLES = (
    "The chosen rule",
    "The chosen call",
    "Everywhere",
    "Moving",
    "The output",
    "In a line of input",
)
_MOVES = frozenset(
    {Do.UP, Do.DOWN, Do.PAGE_UP, Do.PAGE_DOWN, Do.FIRST, Do.LAST, Do.NEXT, Do.PREVIOUS}
    | {Do.DETAILS}
)


def details_lines(model: Model, view: View, width: int, height: int) -> list[Text]:
    """Return all there is to say about the chosen line of the pane with the focus."""
    title, facts = _facts(model, view)
    size = max((len(label) for label, _ in facts), default=0)
    entries: list[Pieces] = []
    for label, text in facts:
        for number, part in enumerate(wrap(text, max(8, width - size - 6))):
            name = label if not number else ""
            entries.append([("  ", PLAIN), (left(name, size), DIM), ("  ", PLAIN), (part, PLAIN)])
    most = max(0, len(entries) - (height - 1))
    first = min(view.scroll, most)
    more = "PgDn for more" if first < most else ""
    lines = [title_line((title, more), width, True)]
    lines += [line(pieces, width) for pieces in entries[first : first + height - 1]]
    return lines + [line([], width)] * (height - len(lines))


def _facts(model: Model, view: View) -> tuple[str, list[tuple[str, str]]]:
    """Return what the details are of, and a label and a text for each fact."""
    if view.focus is Place.RULES:
        rule = next((one for one in model.rules if one.name == view.rule), None)
        rule = rule or (model.rules[0] if model.rules else None)
        return ("Rule", _rule_facts(model, rule)) if rule else ("Rule", [("", "there is none")])
    if view.focus is Place.TASKS:
        if not model.tasks:
            return "Task", [("", "there is none")]
        row = model.tasks[chosen_of([one.task for one in model.tasks], view.task)]
        names = ("task", "pid", "tid", "process", "thread", "calls", "faults")
        facts = [(name, str(getattr(row, name))) for name in names]
        facts.append(("state", "ended" if row.ended else ""))
        return "Task", [(label, text) for label, text in facts if text]
    shown_ = view.hits.of(model, view.filter)
    index = index_of(shown_, view.happened)
    if index < 0:
        return "Injection", [("", "there is none")]
    one = shown_[index]
    event = one.event
    if not one.rule:
        return "Session", [("time", f"{one.t:.6f} s"), ("what", one.call)]
    facts = [
        ("time", f"{one.t:.6f} s after the start"),
        ("call", one.call),
        ("fault", one.fault),
        ("result", str(event.get("result", ""))),
        ("rule", one.rule),
        ("site", str(event.get("site", ""))),
        ("path", str(event.get("path", ""))),
        ("process", f"{event.get('process', '')} ({event.get('pid', '')})"),
        ("thread", str(event.get("tid", ""))),
        ("occurrence", f"{event.get('occurrence', '')} of this rule"),
    ]
    stack = event.get("stack")
    facts += [("stack" if not at else "", str(frame)) for at, frame in enumerate(stack or ())]
    if stack is None:
        facts.append(("stack", "not taken: --stacks, with ptrace, takes them"))
    elif not stack:
        facts.append(("stack", "could not be read"))
    return f"Injection {one.number}", [(label, text) for label, text in facts if text]


def _rule_facts(model: Model, rule: RuleRow) -> list[tuple[str, str]]:
    facts = [
        ("name", rule.name),
        ("rule", rule.text),
        ("state", ("on" if rule.enabled else "off") + ", fires at its next match" * rule.next),
        ("chance", chance(rule.probability)),
        ("limit", "none" if rule.limit is None else str(rule.limit)),
        ("error", rule.error or ""),
        ("seen", f"{rule.seen} calls of these names"),
        ("matched", f"{rule.matched} of them"),
        ("due", f"{rule.due} of those, by when, limit, after, until"),
        ("fired", f"{rule.fired}, of {rule.expected:.1f} expected"),
        ("last", ago(model, rule) + (" ago" if rule.last is not None else "")),
    ]
    for key, number in rule.misses.items():
        first = rule.examples.get(key, "")
        such = f", the first: {first}" if first else ""
        facts.append((f"other {key}", f"{number} calls{such}"))
    for name, number in rule.preempted.items():
        facts.append(("preempted", f"{number} times {name} fired first"))
    return [(label, text) for label, text in facts if text]
