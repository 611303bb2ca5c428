"""`inject check` and `inject schema`: is a scenario right, and what does it do?

Prints to stdout. Mistakes are raised as ScenarioError for the caller to show.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import replace

import click

from injector.faces.cli.completion import rules, scenarios
from injector.rules.scenario.explain import explain, explain_rule
from injector.rules.scenario.lint import FEW, lint
from injector.rules.scenario.load import load_scenario
from injector.rules.scenario.oneline import parse_rules
from injector.words.errors import InjectError
from injector.words.model import Rule, Scenario, Warning


def gather(
    spec: str | None, expressions: tuple[str, ...], *, may_be_empty: bool = False
) -> Scenario:
    """Return the rules of a scenario file, then those of `-e`; InjectError if neither is given.

    There may be none: strace's `inject=?name` is no mistake where no such call exists.
    """
    if spec is None and not expressions and not may_be_empty:
        raise InjectError(
            "there is nothing to inject: no scenario and no rule",
            help="give a scenario, or -e openat:error=EMFILE",
        )
    scenario = load_scenario(spec) if spec is not None else Scenario(())
    more = parse_rules(expressions, [rule.name for rule in scenario.rules])
    rules = (*scenario.rules, *more)
    return Scenario(
        rules, scenario.name, scenario.about, scenario.seed, scenario.source, scenario.text
    )


@click.command(
    epilog="\b\nExamples:\n"
    "  inject check -e 'openat,socket:error=EMFILE:probability=1%'\n"
    "  inject check -e 'inject=write:error=ENOSPC:when=3+'"
)
@click.argument("scenario", required=False, shell_complete=scenarios)
@click.option(
    "-e",
    "expressions",
    metavar="RULE",
    multiple=True,
    help="A rule in one line, or a strace expression. May be given several times.",
    shell_complete=rules,
)
def check(scenario: str | None, expressions: tuple[str, ...]) -> None:
    """Check SCENARIO, and say in plain words what it does.

    SCENARIO is a file or the name of a shipped scenario (see inject list scenarios). Every
    mistake is shown with its place; what is allowed but likely not meant is a warning. The exit
    status is 0 when the scenario can be run, 125 otherwise.
    """
    checked = gather(scenario, expressions)
    if checked.name or checked.about:
        click.echo(": ".join(filter(None, (checked.name, checked.about))))
    told: set[str] = set()
    for rule, sentence in zip(checked.rules, explain(checked), strict=True):
        kin = [one for one in checked.rules if rule.family and one.family == rule.family]
        if len(kin) <= FEW:
            click.echo(f"  {sentence}")
            click.echo(f"    -e {_shell(rule.text)}")
        elif rule.family not in told:
            told.add(rule.family)
            _family(kin)
    warnings = lint(checked)
    for warning in warnings:
        click.echo(f"warning: {_place(checked, warning)}{warning.message}")
    rules = f"{len(checked.rules)} rule{'s' * (len(checked.rules) != 1)}"
    noted = f", {len(warnings)} warning{'s' * (len(warnings) != 1)}" if warnings else ""
    click.echo(f"ok: {rules}{noted}")


@click.command(
    epilog="\b\nExample:\n  inject schema > scenario.schema.json\n\n"
    "\b\nAnd as the first line of a scenario, for editors:\n"
    "  # yaml-language-server: $schema=scenario.schema.json"
)
def schema() -> None:
    """Print the JSON Schema of scenario files, with which editors complete and explain."""
    from injector.rules.scenario.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _place(scenario: Scenario, warning: Warning) -> str:
    if scenario.source and warning.line > 1:
        return f"{scenario.source}:{warning.line}:{warning.column}: {warning.rule}: "
    return f"{warning.rule}: "


def _family(rules: list[Rule]) -> None:
    """Print the rules that one expression made as one, with all their calls."""
    first = rules[0]
    each = explain_rule(replace(first, match=replace(first.match, syscalls_text="all")))
    click.echo(f"  {first.family}: {len(rules)} rules, one for each call: {each}")
    calls = " ".join(rule.match.syscalls_text for rule in rules)
    click.echo(textwrap.fill(calls, 96, initial_indent="    ", subsequent_indent="    "))


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
