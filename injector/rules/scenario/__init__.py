"""From what the user wrote to checked rules: scenario files, one-line rules, strace's expressions.

    load.load_scenario(spec)        a file or a shipped scenario -> Scenario
    oneline.parse_rule(text)        one `-e` argument -> Rules; parse_rules for several
    lint.lint, lint.explain         warnings; what the rules do, in plain English
    schema.json_schema()            for editors

May read the scenario file it is given, and nothing else; prints nothing. YAML and pydantic are
imported only by `document`, `schema` and `yaml_source`, which are imported only when needed.
"""
