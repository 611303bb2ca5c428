"""Whatever is wrong is said in one clear message, before anything is started."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from .harness import INJECT, finish

FINE = ["-e", "getppid:error=EIO"]

WRONG_RULES = {
    "getpppid:error=EIO": "getppid",
    "getppid:error=EIOO": "EIO",
    "getppid:eror=EIO": "error",
    "getppid:error=EIO:probability=2": "probability",
    "getppid:error=EIO:probability=x": "probability",
    "getppid:error=EIO:when=0": "when",
    "getppid:error=EIO:when=5..3": "when",
    "exit_group:error=EIO": "exit_group",
    "rt_sigreturn:error=EIO": "rt_sigreturn",
    "getppid": "",
    "": "",
    ":": "",
    "getppid:error=EIO:retval=1": "retval",
    "getppid:delay=-1s": "delay",
    "getppid:error=513": "",
    "getppid:error=\udcff": "error",
    "read:fd=x:error=EIO": "fd",
    "/(/:error=EIO": "",
}

WRONG_FILES = {
    "nothing": b"",
    "no rules": b"name: x\n",
    "empty rules": b"name: x\nrules: []\n",
    "binary": bytes(range(256)) * 20,
    "big": b"rules:\n" + b"  - {syscalls: read, error: EIO}\n" * 330_000,
    "deep": b"rules: " + b"[" * 5000 + b"]" * 5000 + b"\n",
    "bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110)
    )
    + b"rules: *m\n",
    "itself": b"rules: &r [*r]\n",
    "not YAML": b"rules: [\n",
    "list": b"- a\n- b\n",
    "unknown key": b"rules:\n  - syscalls: read\n    error: EIO\n    wehn: 3\n",
    "twice": b"rules: []\nrules: []\n",
}


def refused(arguments: list[str], tmp_path: Path, status: int = 125) -> str:
    """Run a command that must not start; return what was said."""
    marker = tmp_path / "started"
    got, out, err = finish(
        [*INJECT, "run", *arguments, "--", "touch", str(marker)], deadline=20, env={"COLUMNS": "80"}
    )
    assert (got, out) == (status, ""), err
    assert not marker.exists()
    assert err and "Traceback" not in err and "bug of inject" not in err
    assert len(err) < 4000
    return err


@pytest.mark.parametrize(("rule", "word"), WRONG_RULES.items())
def test_a_wrong_rule(rule: str, word: str, tmp_path: Path) -> None:
    assert word in refused(["-e", rule], tmp_path)


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_a_wrong_scenario(kind: str, tmp_path: Path) -> None:
    scenario = tmp_path / "wrong.yaml"
    scenario.write_bytes(WRONG_FILES[kind])
    assert str(scenario) in refused([str(scenario)], tmp_path)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_scenario_that_cannot_be_read(kind: str, tmp_path: Path) -> None:
    scenario = tmp_path / "wrong.yaml"
    if kind == "folder":
        scenario.mkdir()
    assert str(scenario) in refused([str(scenario)], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "rule"),
        ([*FINE, "--journal", "/no/such/folder/j"], "journal"),
        ([*FINE, "--journal", "/dev/full"], "No space left"),
        ([*FINE, "--journal", "/"], "journal"),
        ([*FINE, "--timeout", "soon"], "--timeout"),
        ([*FINE, "--timeout", "0"], "--timeout"),
        ([*FINE, "--seed", "-1"], "--seed"),
        ([*FINE, "--seed", "x"], "--seed"),
        ([*FINE, "--engine", "magic"], "--engine"),
        ([*FINE, "--watch", ""], "--watch"),
        ([*FINE, "--no-such"], "--no-such"),
        (["no-such-scenario"], "no-such-scenario"),
        (["fd-exhaustion", "more"], "more"),
    ],
)
def test_wrong_options(arguments: list[str], word: str, tmp_path: Path) -> None:
    assert word in refused(arguments, tmp_path)


def test_no_command(tmp_path: Path) -> None:
    for words in (["run", *FINE], ["run", *FINE, "--"], ["runn"], ["run"]):
        status, out, err = finish([*INJECT, *words])
        assert (status, out) == (125, ""), words
        assert err and "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["run", "--loud"], ""),
        (["run", "--jurnal", "j"], "--journal"),
        (["run", "--require"], "--require-fired"),
        (["run", "-x"], ""),
        (["list", "syscalls", "--jsn"], "--json"),
        (["doctor", "--quiet"], ""),
        (["--versoin"], "--version"),
    ],
)
def test_an_unknown_option_is_named_with_what_is_written_alike(
    words: list[str], meant: str
) -> None:
    status, out, err = finish([*INJECT, *words])
    assert (status, out) == (125, "")
    option = next(word for word in words if word.startswith("-"))
    path = " ".join(["inject", *words[: words.index(option)]])
    hint = f"did you mean {meant}? " if meant else ""
    assert err == f"inject: {path} has no option {option}\n  {hint}{path} --help lists them\n"


@pytest.mark.parametrize(
    "words",
    [
        ["list", "syscalls"],
        ["schema"],
        ["completion", "bash"],
        ["doctor"],
        ["ps", "--json"],
        ["learn", "--", "true"],
        ["check", "disk-full"],
    ],
)
def test_whose_words_nobody_reads_ends_by_sigpipe(words: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as nowhere:
        done = subprocess.run(
            [*INJECT, *words],
            stdin=subprocess.DEVNULL,
            stdout=nowhere,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            timeout=30,
            check=False,
        )
    assert done.returncode == -signal.SIGPIPE
    assert done.stderr == b""
