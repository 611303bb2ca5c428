"""The forms of a report: each says the same, and takes whatever the target wrote."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from injector.campaigns.outcome import Verdict
from injector.campaigns.report import MEANINGS, VERDICTS, Report, load
from injector.faces.plain import pasteable, plain
from injector.faces.report.document import document
from injector.faces.report.github import summary, workflow_commands
from injector.faces.report.junit import junit
from injector.faces.report.page import page
from injector.faces.report.table import lines
from injector.faces.report.words import SIGNS, seconds, unfinished

from .sweeps import FINDINGS, OPEN_STACK, POINTS, RUNS, database

HOSTILE = "</script><b>\x1b[31m\x01\u202e]]>&amp;\r\n::error::%0A\u2028'\"`$(x)"
BYTES = f"{HOSTILE}\udcff"  # as os.fsdecode gives what is no UTF-8; SQLite has it in JSON only

TABLE = """\
shop 'order 1'
2026-01-02 03:04 UTC, inject 0.1.0
3 points, 3 kinds, 7 runs, 1.8 s of runs

  C  crash        2  a process died of a fatal signal
  S  silent       1  status 0, and another output
  +  handled      2  the program noticed and said so
  .  unaffected   1  it did what it does without the fault
  -  not reached  1  the call was not made in this run

          EIO  EINTR  ENOMEM  short 1
  close   -
  openat  +           C
  write        .              S

2 findings

1. C crash  SIGSEGV in shop when openat fails with ENOMEM
   2 runs, reproduced
   openat(AT_FDCWD, "/var/lib/shop/data", O_RDWR|O_CREAT, 0o644) with error=ENOMEM, once, at 0/openat#3
   shop was killed by SIGSEGV
     openStore (/usr/bin/shop)
     main (/usr/bin/shop)
   inject run -e 'site=0/openat#3:error=ENOMEM' -- shop 'order 1'

2. S silent  half an order is written, status 0
   1 run, flaky
   write(3, "order 1\\n", 8) with short=1, once, at 0/write#1
   stdout differs
     libstore.so.3+0xa99c7
     store::commit(int) (/usr/lib/libstore.so.3)
     main (/usr/bin/shop)
   inject run -e 'site=0/write#1:short=1' -- shop 'order 1'
"""  # noqa: E501


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """The campaign of `sweeps`."""
    return load([database(tmp_path / "s.db")])


@pytest.fixture
def hostile(tmp_path: Path) -> Report:
    """The same with texts that would break any form that trusts them."""
    point = replace(POINTS[0], args=HOSTILE, path=HOSTILE, stack=(f"{BYTES}+0x1 ({BYTES})",))
    run = replace(RUNS[2], detail=HOSTILE, result={"stderr": {"tail": BYTES}})
    finding = replace(FINDINGS[1], title=HOSTILE, command=f"inject run -- '{HOSTILE}'")
    rows = (point, *POINTS[1:])
    return load([database(tmp_path / "h.db", [run], [finding], rows, command=["a", BYTES])])


def test_every_verdict_has_its_words_and_its_own_sign() -> None:
    assert {*Verdict} < set(VERDICTS) == set(MEANINGS) == set(SIGNS)
    assert len(set(SIGNS.values())) == len(SIGNS)


def test_the_documentation_has_the_outcomes_and_the_fields(report: Report) -> None:
    text = Path(__file__).parents[2].joinpath("docs/report.md").read_text()
    rows = re.findall(r"^\| `(.)` \| `(.*)` \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(SIGNS[one], one, MEANINGS[one]) for one in VERDICTS]
    told = document(report)
    for fields in (told, told["databases"][0], told["findings"][0], told["runs"][0]):
        for name in fields:
            assert f"`{name}`" in text


def test_table(report: Report) -> None:
    assert "".join(f"{line.plain}\n" for line in lines(report, 100)) == TABLE


def test_a_wide_matrix_is_cut_into_parts(report: Report) -> None:
    shown = [line.plain for line in lines(report, 24)]
    at = shown.index("          EIO  EINTR")
    assert shown[at : at + 9] == [
        "          EIO  EINTR",
        "  close   -",
        "  openat  +",
        "  write        .",
        "",
        "          ENOMEM",
        "  openat  C",
        "",
        "          short 1",
    ]


def test_an_unfinished_sweep_says_how_to_go_on(tmp_path: Path) -> None:
    runs = (*RUNS[:-1], replace(RUNS[-1], verdict=None))
    path = database(tmp_path / "s.db", runs)
    shown = [line.plain for line in lines(load([path]), 100)]
    assert (
        "unfinished: 1 of 7 runs is not made yet; go on with: "
        f"inject sweep --resume --db {path} -- shop 'order 1'"
    ) in shown
    assert any(line.startswith("  _  planned") for line in shown)


def test_an_unfinished_shard_goes_on_as_that_shard(tmp_path: Path) -> None:
    runs = [replace(RUNS[0], verdict=None, shard=2), replace(RUNS[1], verdict=None, shard=1)]
    path = database(tmp_path / "s.db", runs, [], options={"shard": [2, 3]})
    assert unfinished(load([path])) == (
        "2 of 2 runs are not made yet; go on with: "
        f"inject sweep --resume --shard 2/3 --db {path} -- shop 'order 1'; "
        "no database of shards 1, 3"
    )


def test_nothing_found(tmp_path: Path) -> None:
    shown = [line.plain for line in lines(load([database(tmp_path / "s.db", RUNS[:2], [])]), 100)]
    assert shown[-1] == "no findings"


def test_no_control_character_reaches_the_terminal(hostile: Report) -> None:
    for line in lines(hostile, 100):
        assert line.plain.isprintable()


def test_json(report: Report) -> None:
    told = json.loads(json.dumps(document(report)))
    assert told["report"] == 1
    assert told["complete"] is True
    assert told["verdicts"] == report.verdicts
    assert [one["title"] for one in told["findings"]] == [one.title for one in report.findings]
    assert told["findings"][0]["output"]["stderr"] == "opening\nSegmentation fault\n"
    assert told["findings"][0]["flaky"] is False
    assert told["runs"][3] == {
        "key": "persistent 0/openat#3 error=ENOMEM",
        "site": "0/openat#3",
        "syscall": "openat",
        "fault": "error=ENOMEM",
        "mode": "persistent",
        "kind": "k1",
        "rules": ["site=0/openat#3+:error=ENOMEM"],
        "verdict": "crash",
        "fingerprint": None,
        "status": 0,
        "signal": "SIGSEGV",
        "seconds": 0.25,
        "detail": "",
        "command": "INJECT_RUN=3 inject run -e 'site=0/openat#3+:error=ENOMEM' "
        "-- shop 'order 1' </dev/null",
    }


def test_json_keeps_the_targets_bytes(hostile: Report) -> None:
    told = json.loads(json.dumps(document(hostile)))
    assert told["findings"][0]["output"]["stderr"] == BYTES


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ✓", "plain ✓"),
        ("a\tb\n", "a\\tb\\n"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\u202e", "\\u202e"),
        ("\ud800", "\\ud800"),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert plain("a\tb\n\x01", "\n\t") == "a\tb\n\\x01"


def test_a_pasted_command_is_the_same() -> None:
    word = "a'b\n\x1b\t\udcff\\n$x\u202e"
    shown = pasteable(f"printf %s {shlex.quote(word)}")
    assert shown.isprintable()
    done = subprocess.run(
        ["bash", "-c", shown], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.stdout == word.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("span", "text"), [(0.04, "0.0 s"), (119, "119.0 s"), (150, "2 min"), (7500, "2 h 05 min")]
)
def test_seconds(span: float, text: str) -> None:
    assert seconds(span) == text


# ---- JUnit


def test_junit(report: Report) -> None:
    suite = ElementTree.fromstring(junit(report))[0]
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "7",
        "failures": "3",
        "errors": "0",
        "skipped": "1",
    }
    assert suite.get("timestamp") == "2026-01-02T03:04:05"
    cases = {(one.get("classname"), one.get("name")): one for one in suite.findall("testcase")}
    assert len(cases) == 7
    good = cases["openat", "EIO once in openStore < main"]
    assert len(good) == 0 and good.get("time") == "0.250"
    (skipped,) = cases["close", "EIO once"]
    assert (skipped.tag, skipped.get("message")) == (
        "skipped",
        "the call was not made in this run",
    )
    (failure,) = cases["openat", "ENOMEM once in openStore < main"]
    assert (failure.tag, failure.get("type"), failure.get("message")) == (
        "failure",
        "crash",
        "shop was killed by SIGSEGV",
    )
    assert failure.text == (
        'openat(AT_FDCWD, "/var/lib/shop/data", O_RDWR|O_CREAT, 0o644) with error=ENOMEM, once, '
        "at 0/openat#3\n"
        "SIGSEGV in shop when openat fails with ENOMEM (2 runs, reproduced)\n"
        "  openStore (/usr/bin/shop)\n"
        "  main (/usr/bin/shop)\n"
        "repeat with: inject run -e 'site=0/openat#3:error=ENOMEM' -- shop 'order 1'\n"
        "stderr:\n"
        "opening\n"
        "Segmentation fault"
    )


def test_junit_of_runs_that_were_not_made(tmp_path: Path) -> None:
    runs = (
        replace(RUNS[0], verdict="error", detail="no space left"),
        replace(RUNS[1], verdict=None),
    )
    text = junit(load([database(tmp_path / "s.db", runs, [])]))
    suite = ElementTree.fromstring(text)[0]
    assert (suite.get("errors"), suite.get("skipped")) == ("1", "1")
    outcomes = [(one[0].tag, one[0].get("message")) for one in suite.findall("testcase")]
    assert outcomes == [("error", "no space left"), ("skipped", "not run yet")]


def test_junit_names_are_unique(tmp_path: Path) -> None:
    deeper = (*OPEN_STACK[:3], "0x1 (/usr/bin/shop)", "0x2 (/usr/bin/shop)", "0x3 (/usr/bin/shop)")
    points = [
        replace(
            POINTS[0], site=f"0/openat#{number}", stack=(*deeper, f"0x{number} (/usr/bin/shop)")
        )
        for number in (1, 2)
    ]
    runs = [replace(RUNS[0], site=point.site) for point in points]
    suite = ElementTree.fromstring(junit(load([database(tmp_path / "s.db", runs, [], points)])))[0]
    names = [one.get("name") for one in suite.findall("testcase")]
    assert len(set(names)) == 2


def test_junit_holds_to_the_schema_whatever_the_target_wrote(hostile: Report) -> None:
    """As Windy Road's JUnit.xsd has it: xmllint --schema says the same."""
    text = junit(hostile)
    # XML 1.0, "2.2 Characters"
    assert re.fullmatch("[\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*", text)
    top = ElementTree.fromstring(text.encode())
    assert (top.tag, dict(top.attrib), len(top)) == ("testsuites", {}, 1)
    suite = top[0]
    for name in ("name", "package", "hostname"):
        assert suite.get(name) == " ".join((suite.get(name) or "").split()) != ""
    for name in ("id", "tests", "failures", "errors", "skipped"):
        assert int(suite.get(name) or "") >= 0
    assert re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2})", suite.get("timestamp") or ""
    )
    assert float(suite.get("time") or "") > 0
    tags = [one.tag for one in suite]
    assert tags == ["properties", "testcase", "system-out", "system-err"]
    case = suite[1]
    assert case.keys() == ["classname", "name", "time"]
    assert [(one.tag, one.keys()) for one in case] == [("failure", ["message", "type"])]
    assert "</script><b>\\x1b[31m\\x01\\u202e]]>" in (case[0].text or "")


# ---- GitHub


def test_annotations(report: Report) -> None:
    assert list(workflow_commands(report)) == [
        "::error title=crash%3A SIGSEGV in shop when openat fails with ENOMEM::"
        "shop was killed by SIGSEGV%0A2 runs, reproduced%0A  openStore (/usr/bin/shop)%0A"
        "  main (/usr/bin/shop)%0A"
        "repeat with: inject run -e 'site=0/openat#3:error=ENOMEM' -- shop 'order 1'",
        "::warning title=silent%3A half an order is written%2C status 0::stdout differs%0A"
        "1 run, flaky%0A  libstore.so.3+0xa99c7%0A  store::commit(int) (/usr/lib/libstore.so.3)%0A"
        "  main (/usr/bin/shop)%0A"
        "repeat with: inject run -e 'site=0/write#1:short=1' -- shop 'order 1'",
        "::notice title=inject%3A 2 findings::"
        "shop 'order 1'%0A3 points, 3 kinds, 7 runs, 1.8 s of runs",
    ]


def decoded(command: str) -> tuple[str, str, str]:
    """Take a workflow command apart as the runner does: level, title, message."""
    found = re.fullmatch(r"::(\w+) title=([^,:]*)::(.*)", command)
    assert found
    title = found[2].replace("%2C", ",").replace("%3A", ":")
    plain = [
        text.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
        for text in (title, found[3])
    ]
    return found[1], plain[0], plain[1]


def test_annotations_are_one_line_whatever_the_target_wrote(hostile: Report) -> None:
    level, title, message = decoded(next(workflow_commands(hostile)))
    assert (level, title) == ("error", f"crash: {plain(HOSTILE)}")
    assert message.startswith(f"{plain(HOSTILE)}\n2 runs, reproduced\n")
    for line in workflow_commands(hostile):
        assert "\n" not in line and "\r" not in line


def test_an_unfinished_sweep_is_a_warning(tmp_path: Path) -> None:
    path = database(tmp_path / "s.db", [replace(RUNS[0], verdict=None)], [])
    levels = [decoded(line)[:2] for line in workflow_commands(load([path]))]
    assert levels == [
        ("warning", "inject: the sweep is unfinished"),
        ("notice", "inject: no findings"),
    ]


def test_summary(report: Report) -> None:
    shown = html.unescape(summary(report))
    assert "### inject sweep <code>shop 'order 1'</code>\n" in shown
    assert "| crash | 2 | a process died of a fatal signal |\n" in shown
    assert "<summary>crash: SIGSEGV in shop when openat fails with ENOMEM (2 runs, " in shown
    assert "\ninject run -e 'site=0/openat#3:error=ENOMEM' -- shop 'order 1'\n</pre>" in shown


def test_summary_takes_whatever_the_target_wrote(hostile: Report) -> None:
    text = summary(hostile)
    tags = set(re.findall(r"<[^>]*>", text))
    assert tags == {
        *("<code>", "</code>", "<details>", "</details>"),
        *("<summary>", "</summary>", "<pre>", "</pre>"),
    }
    assert "`" not in text and "script" in text


def test_summary_is_no_longer_than_github_takes(tmp_path: Path) -> None:
    long = [
        replace(FINDINGS[0], fingerprint=f"f{number}", title="$" * 10_000) for number in range(500)
    ]
    text = summary(load([database(tmp_path / "s.db", findings=long)]))
    assert len(text.encode()) < 1024 * 1024
    assert re.search(r"\n\d+ more findings: inject report shows them\.\n$", text)


# ---- the page


def inside(text: str) -> Any:
    """Return the data of a page."""
    (block,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text)
    return json.loads(block)


def test_page_has_everything_inside(report: Report) -> None:
    text = page(report)
    assert not re.search(r"https?://|//[a-z]|@import|url\(", re.sub("(?m)^ *//.*", "", text))
    data = inside(text)
    assert [row["syscall"] for row in data["rows"]] == ["openat", "write", "close"]
    assert data["runs"][2]["command"] == FINDINGS[1].command
    assert data["outputs"] == ["opening\nSegmentation fault"]
    assert [one["title"] for one in data["findings"]] == [one.title for one in report.findings]


def test_page_allows_its_own_script_and_style_alone(report: Report) -> None:
    text = page(report)
    policy = html.unescape(text.split('http-equiv="Content-Security-Policy" content="')[1])
    allowed = dict(one.split(" ", 1) for one in policy.split('"')[0].split("; "))
    assert allowed["default-src"] == "'none'"
    for name, content in (
        ("style-src", text.split("<style>")[1].split("</style>")[0]),
        ("script-src", text.split("<script>")[1].split("</script>")[0]),
    ):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert allowed[name] == f"'sha256-{digest}'"


def test_page_keeps_hostile_texts_in_their_block(hostile: Report) -> None:
    text = page(hostile)
    assert text.count("</script>") == 2 and "<b>" not in text
    assert inside(text)["runs"][0]["detail"] == plain(HOSTILE)
    assert inside(text)["outputs"] == [plain(BYTES, "\n\t")]


def test_page_keeps_the_ends_of_long_outputs_once(tmp_path: Path) -> None:
    runs = [replace(run, result={"stdout": {"tail": "x" * 9000 + "end"}}) for run in RUNS]
    outputs = inside(page(load([database(tmp_path / "s.db", runs)])))["outputs"]
    # Those of the findings are whole.
    assert sorted(map(len, outputs)) == [4096 + len("[4,907 characters before]\n"), 9003]
