"""The probe on this machine, as it is and made worse: each in a process of its own."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from injector.linux.probe import TOPICS

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 90  # a doctor in which every trial runs into its own deadline
_NOT_THESE = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONUNBUFFERED", "container")
DOCTOR = "from injector.faces.cli.doctor import doctor; doctor()"
STATES = {"ok", "limited", "missing", "info"}

# A process that puts itself under a filter and has the doctor as its child.
UNDER = """
import subprocess, sys
from injector.linux.probe.filters import install, program
{setup}
sys.exit(subprocess.run([sys.executable, "-c", sys.argv[1], *sys.argv[2:]]).returncode)
"""
ALL = "notify run, notify attach, ptrace run, ptrace attach"
# The listener stays open in the parent. Nothing makes this call.
LISTENER = 'install(program("acct", 0x7FC00000), 8)'


def environment(**more):
    return {
        **{k: v for k, v in os.environ.items() if k not in _NOT_THESE},
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


def launch(*arguments, before=(), setup="", env=None, **options):
    """Run the doctor behind the command `before` and below a filter made by `setup`."""
    script = (UNDER.format(setup=setup), DOCTOR) if setup else (DOCTOR,)
    return subprocess.run(
        [*before, sys.executable, "-c", *script, *arguments],
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        **options,
    )


class Report:
    """The doctor's JSON with its exit status, checked to be well formed."""

    def __init__(self, done):
        assert done.stderr == ""
        document = json.loads(done.stdout)
        assert document.keys() == {"run", "engines", "findings"}
        assert [type(document[key]) for key in ("run", "engines", "findings")] == [bool, list, list]
        for finding in document["findings"]:
            assert list(finding) == ["topic", "state", "summary", "detail", "remedy"]
            assert all(isinstance(value, str) for value in finding.values())
            assert finding["state"] in STATES
            assert finding["summary"]
            if finding["state"] == "missing":
                assert finding["remedy"], finding
        for engine in document["engines"]:
            assert list(engine) == ["name", "state", "run", "attach", "lacks", "limits"]
            assert engine["state"] in STATES - {"info"}
            assert all(type(engine[key]) is bool for key in ("run", "attach"))
        assert [finding["topic"] for finding in document["findings"]] == [
            topic for topics in TOPICS.values() for topic in topics
        ]
        self.run = document["run"]
        self.engines = {engine["name"]: engine for engine in document["engines"]}
        self.findings = {finding["topic"]: finding for finding in document["findings"]}
        self.text = done.stdout
        assert done.returncode == (0 if self.run else 125)

    def state(self, topic):
        return self.findings[topic]["state"]

    def missing(self):
        return {topic for topic in self.findings if self.state(topic) == "missing"}


def report(*, before=(), setup="", **options):
    return Report(launch("--json", before=before, setup=setup, **options))


def ordinary():
    """The command that makes us an ordinary user, () if we are one; skip if there is none."""
    if os.geteuid():
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv(1)")
    command = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    tried = subprocess.run(
        [*command, sys.executable, "-c", "import injector, click, rich, pyseccomp"],
        env=environment(),
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    if tried.returncode:
        pytest.skip("this Python or this checkout cannot be read by an ordinary user")
    return command


@pytest.fixture(scope="module")
def here():
    """The report on this machine as it is; the others are compared with it."""
    found = report()
    if found.missing():
        pytest.skip(f"this machine lacks {', '.join(found.missing())}")
    return found


def test_this_machine(here):
    assert here.run
    assert here.state("user-notification") == here.state("ptrace-filter-stop") == "ok"
    assert os.uname().release in here.findings["kernel"]["summary"]


def test_root_needs_no_new_privs_not(here):
    if os.geteuid():
        pytest.skip("needs root")
    assert here.state("no-new-privs") == "ok"


def test_ordinary_user(here):
    found = report(before=ordinary())
    assert found.run
    assert found.missing() <= {"attach", "yama"}
    assert found.state("user-notification") == "ok"
    assert found.state("no-new-privs") == "limited"
    assert "no-new-privs" in found.engines["notify"]["limits"]
    assert "setuid" in found.findings["no-new-privs"]["detail"].lower()


def test_no_new_privs_already():
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv(1)")
    found = report(before=(*(ordinary() or ("setpriv",)), "--no-new-privs"))
    assert found.state("no-new-privs") == "info"
    assert found.run


def test_another_listener(here):
    found = report(setup=LISTENER)
    assert found.missing() == {"user-notification"}
    assert "EBUSY" in found.findings["user-notification"]["summary"]
    assert "ptrace" in found.findings["user-notification"]["remedy"]
    assert found.state("own-filters") == "info"
    assert not found.engines["notify"]["run"]
    assert found.engines["ptrace"]["run"]
    assert found.run


def test_a_listener_that_is_gone_is_no_listener(here):
    found = report(setup=f"import os; os.close({LISTENER}[0])")
    assert found.state("user-notification") == "ok"
    assert found.state("own-filters") == "info"


@pytest.mark.parametrize(
    ("call", "missing", "engines"),
    [
        (
            "seccomp",
            {"seccomp-filter", "user-notification", "ptrace-filter-stop", "libseccomp"},
            "ptrace attach",
        ),
        ("ptrace", {"ptrace-seize", "attach"}, "notify run"),
        ("pidfd_open", {"pidfd-open", "pidfd-getfd"}, "ptrace run, ptrace attach"),
        ("pidfd_getfd", {"pidfd-getfd"}, "ptrace run, ptrace attach"),
        ("process_vm_readv", {"process-vm-readv"}, ALL),
        ("io_uring_setup", set(), ALL),
    ],
)
@pytest.mark.parametrize("number", [1, 38], ids=["EPERM", "ENOSYS"])
def test_a_sandbox_that_forbids_a_call(here, call, missing, engines, number):
    found = report(setup=f'install(program("{call}", 0x00050000 | {number}))')
    assert found.missing() == missing
    able = [
        f"{name} {deed}"
        for name, engine in found.engines.items()
        for deed in ("run", "attach")
        if engine[deed]
    ]
    assert ", ".join(able) == engines
    if call == "io_uring_setup":
        assert found.state("io-uring") == "ok"


def test_under_strace(here):
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    found = report(before=("strace", "-f", "-o", "/dev/null", "-e", "trace=none"))
    assert found.missing() == {"ptrace-seize", "attach"}
    assert "strace" in found.findings["ptrace-seize"]["summary"]
    assert found.engines["notify"]["run"]
    assert not found.engines["ptrace"]["run"]


@pytest.mark.parametrize(
    ("error", "remedy"), [("RuntimeError", "apt install"), ("ImportError", "pip install")]
)
def test_without_libseccomp(here, tmp_path, error, remedy):
    (tmp_path / "pyseccomp.py").write_text(f"raise {error}('not here')\n")
    found = report(env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert found.missing() == {"libseccomp"}
    assert remedy in found.findings["libseccomp"]["remedy"]
    assert not found.run


def test_without_python_ptrace(here, tmp_path):
    (tmp_path / "ptrace.py").write_text("")
    found = report(env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert found.missing() == {"python-ptrace"}
    assert found.run


def test_few_descriptors(here):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = report(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)))
    assert found.state("open-files") == "limited"
    assert found.findings["open-files"]["remedy"].startswith("ulimit -n ")
    assert found.run


def test_no_more_processes():
    if os.geteuid() or shutil.which("prlimit") is None:
        pytest.skip("needs root, to be a user without other processes, and prlimit(1)")
    found = report(before=("prlimit", "--nproc=1", *ordinary()))
    assert "EAGAIN" in found.findings["ptrace-seize"]["summary"]
    assert not found.run


def test_odd_parents(here):
    """Standard input closed, so that the listener may be descriptor 0; SIGCHLD ignored."""
    found = report(before=("sh", "-c", 'trap "" CHLD; exec "$@" <&-', "sh"))
    assert {topic: found.state(topic) for topic in found.findings} == {
        topic: here.state(topic) for topic in here.findings
    }
