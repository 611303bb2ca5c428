"""What an engine can do, asked before anything is started."""

from __future__ import annotations

from injector.words.errors import NotAvailable
from injector.words.model import Corrupt, Rule, Scenario, Short, Substitute


def wants_ptrace(rule: Rule) -> str:
    """Return the word of a rule that user notification cannot do, "" if it can do all."""
    fault = rule.fault
    match fault.outcome:
        case Short():
            return "short"
        case Corrupt():
            return "corrupt"
        case Substitute():
            return "substitute"
        case _:
            pass
    if fault.call == "run":
        return "call: run"
    if fault.kill == "after":
        return "kill: after"
    if fault.delay_exit is not None:
        return "delay_exit"
    if fault.poke:
        return "poke"
    if rule.match.caller is not None:
        return "caller"
    return ""


def reason_for_ptrace(scenario: Scenario) -> str:
    """Return why a scenario needs the ptrace engine ("rule a: short"), "" if it does not."""
    for rule in scenario.rules:
        word = wants_ptrace(rule)
        if word:
            return f"rule {rule.name} asks for {word}"
    return ""


def require_notify(scenario: Scenario) -> None:
    """Refuse a scenario that the notify engine cannot carry out, all its rules at once.

    Raises:
        NotAvailable: names every rule and word.
    """
    lines = []
    for rule in scenario.rules:
        word = wants_ptrace(rule)
        if word:
            line, column = rule.place
            where = f"{scenario.source}:{line}:{column}: " if scenario.source and line else ""
            lines.append(f"{where}rule {rule.name}: {word} needs the ptrace engine")
    if lines:
        raise NotAvailable("\n".join(lines), help="leave --engine notify out")
