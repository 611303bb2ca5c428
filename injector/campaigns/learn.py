"""Watch a program once, without a fault: what it does, and which faults it could meet.

A call is seen when it begins, so nothing here says whether it worked. Prints nothing.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from injector.engines.call import StoppedCall
from injector.linux import procfs
from injector.rules.decide import Order, RulesDecider
from injector.rules.scenario.imported import as_glob
from injector.rules.scenario.oneline import parse_rules
from injector.rules.scenario.text import quote
from injector.session.session import Ended, Session
from injector.words.call import Address, Call
from injector.words.events import Control, TaskEnd, TaskStart
from injector.words.model import Rule, Scenario
from injector.words.syscalls import GROUPS, NEVER

OPENS = GROUPS["open"]
READS = GROUPS["read"] | GROUPS["recv"] | GROUPS["dir"]
WRITES = GROUPS["write"] | GROUPS["send"]
COPIES = GROUPS["copy"]
SYNCS = GROUPS["sync"]
SIZES = GROUPS["truncate"]
CHANGES = GROUPS["rename"] | GROUPS["unlink"] | GROUPS["link"] | GROUPS["mkdir"] | GROUPS["chmod"]
WAITS = GROUPS["poll"] | GROUPS["sleep"] | GROUPS["wait"]
_TAKES_PEERS = GROUPS["accept"]
_NAMES_PEERS = frozenset({"connect", "bind", "sendto", "sendmsg"})
_ABOUT_A_DESCRIPTOR = READS | WRITES | COPIES | SYNCS | SIZES | _TAKES_PEERS | {"flock", "mmap"}
WATCHED = (
    frozenset().union(*(GROUPS[name] for name in ("file", "desc", "network", "process", "memory")))
    | GROUPS["ipc"]
    | GROUPS["random"]
    | GROUPS["sync"]
    | WAITS
) - NEVER.keys()
"""The calls that are looked at: what the world can make fail, and waiting."""

STREAMS = ("stdin", "stdout", "stderr")

_LIBRARY = re.compile(
    r"(^|/)(libc|libpthread|ld-linux[^/]*|ld-musl[^/]*|ld)([-.][^/]*)?$|^\[vdso\]$"
)
_WORLD = ("/dev/", "/proc/", "/sys/")
_SYSTEM = ("/usr/", "/lib", "/etc/locale")
_ANYWHERE = ("0.0.0.0", "::")
_MOST_FILES = 6  # that faults are proposed for, of each kind
_MOST_PEERS = 6


@dataclass(slots=True)
class Program:
    """A process: its lineage, the executable it had last, its threads, how it ended."""

    lineage: str
    exe: str = ""
    threads: int = 0
    exit: int | None = None
    signal: str | None = None


@dataclass(slots=True)
class Learned:
    """What a program did; each Counter is by the name of the call."""

    calls: Counter[str] = field(default_factory=Counter)
    startup: Counter[str] = field(default_factory=Counter)
    """Those of the dynamic loader, which rules leave alone."""
    files: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    peers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    served: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    aliases: dict[str, str] = field(default_factory=dict)
    """Sockets of relative paths, by those and by absolute ones."""
    others: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Standard streams, pipes, and other things without a path."""
    sites: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By function and library."""
    programs: list[Program] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    io_uring: bool = False
    ended: Ended | None = None


class Learner(RulesDecider):
    """Writes down every call and lets it pass."""

    def __init__(self, *, stacks: bool = False) -> None:
        super().__init__(Scenario(()), 0)
        self.learned = Learned()
        self.images: dict[str, str] = {}  # the executable by the lineage of its process
        self._stacks = stacks
        self._sockets: dict[str, Counter[str]] = {}
        # The target has them from us; where they lead to is another matter in the next run.
        links = {procfs.fd_target(os.getpid(), fd): STREAMS[fd] for fd in (2, 0, 1)}
        self._streams = {link: name for link, name in links.items() if link != "/dev/null"}

    def decide(self, call: Call) -> Order | None:
        """Write a call down."""
        assert isinstance(call, StoppedCall)  # an engine's own
        learned, name = self.learned, call.name
        self.images[call.task.process_lineage] = call.task.process.image.exe
        if name not in WATCHED:
            return None
        if call.by_loader:
            learned.startup[name] += 1
            return None
        learned.calls[name] += 1
        if name in _ABOUT_A_DESCRIPTOR or name in _NAMES_PEERS:
            self._descriptors(call)
        else:
            for path in call.paths():
                if path.startswith("/") and path not in self._streams:
                    learned.files[path][name] += 1
        if self._stacks and (site := _site(call)):
            learned.sites[site][name] += 1
        return None

    def _descriptors(self, call: StoppedCall) -> None:
        learned, name = self.learned, call.name
        for fd in call.fds():
            target = procfs.fd_target(call.task.tid, fd) if fd >= 0 else None
            if target is None:
                continue
            if target in self._streams:
                learned.others[self._streams[target]][name] += 1
            elif target.startswith("socket:"):
                self._socket(call, fd, target)[name] += 1
            elif target.startswith("/") and not target.startswith("/memfd:"):
                learned.files[target][name] += 1
            elif name != "mmap":
                kind = target.partition(":")[0].replace("anon_inode", "other descriptors")
                learned.others[kind.lstrip("/")][name] += 1
        for path in call.paths() if name in SIZES else ():
            if path.startswith("/") and not call.fds():
                learned.files[path][name] += 1

    def _socket(self, call: StoppedCall, fd: int, target: str) -> Counter[str]:
        """Return the counts of whom a socket talks to."""
        learned, name = self.learned, call.name
        found = self._sockets.get(target)
        if found is not None and name not in _NAMES_PEERS:
            return found
        ends = call.addresses()  # of connect and the like their own, else peer and bound one
        if not ends:
            return learned.others["socket"] if found is None else found
        last = ends[-1]
        if name in ("bind", "connect") and len(ends) == 2:
            # A relative path and where it led to: elsewhere the socket has the relative one.
            learned.aliases[_label(ends[0])] = _label(last)
        if name == "bind":
            # Port 0 is any; the first accept tells which it was.
            known = last.unix or last.port
            return learned.served[_label(last)] if known else learned.others["socket"]
        if name == "connect":
            found = self._sockets[target] = learned.peers[_label(last)]
            return found
        label = self._known(last)
        served = next((one for one in (label, f":{last.port}") if one in learned.served), "")
        if name in _TAKES_PEERS:
            served = served or label
        if served:
            found = self._sockets[target] = learned.served[served]
        elif len(ends) == 2 or last.unix is not None:
            found = self._sockets[target] = learned.peers[self._known(ends[0])]
        elif name in _NAMES_PEERS:
            found = learned.peers[self._known(last)]  # a datagram's
        else:
            found = learned.others["socket"]
        return found

    def _known(self, address: Address) -> str:
        label = _label(address)
        return self.learned.aliases.get(label, label)


def watch(
    start: Callable[[Learner], AbstractContextManager[Session]], *, stacks: bool = False
) -> Learned:
    """Follow a target that `start` launches with this decider; return what it did."""
    learner = Learner(stacks=stacks)
    learned = learner.learned
    programs: dict[int, Program] = {}
    with start(learner) as session:
        for event in session.events():
            match event:
                case TaskStart(pid=pid, task=lineage):
                    if pid not in programs:
                        programs[pid] = Program(lineage)
                        learned.programs.append(programs[pid])
                    programs[pid].threads += 1
                case TaskEnd(pid=pid) if pid in programs:
                    program = programs[pid]
                    if event.tid == pid or program.exit is None:
                        program.exit, program.signal = event.exit, event.signal
                case Control(what="blind-spot"):
                    learned.io_uring = True
                case _:
                    pass
        learned.ended = session.ended
    learned.pids.extend(programs)
    for program in learned.programs:
        program.exe = learner.images.get(program.lineage, "")
    return learned


def _label(address: Address) -> str:
    """Return an address as a rule takes it; one that is bound to all of the host by its port."""
    if address.unix is not None:
        return f"unix:{address.unix}"
    if address.host in _ANYWHERE:
        return f":{address.port}"
    return (
        f"[{address.host}]:{address.port}"
        if ":" in address.host
        else f"{address.host}:{address.port}"
    )


def _site(call: StoppedCall) -> tuple[str, str] | None:
    """Return the function that called the C library, and what it is in."""
    frames = call.frames()
    frame = next((one for one in frames if not _LIBRARY.search(one.library)), None)
    frame = frame or (frames[-1] if frames else None)
    if frame is None:
        return None
    return frame.texts()[1] or frame.function or f"{frame.address:#x}", frame.library


@dataclass(frozen=True, slots=True)
class Proposal:
    """Faults about one thing, with what is said of it."""

    about: str
    rules: tuple[str, ...]


def proposed(learned: Learned) -> tuple[tuple[Rule, ...], dict[str, list[str]]]:
    """Return the rules of every plausible fault, and the comments before some, by their names."""
    texts: list[str] = []
    before: dict[int, list[str]] = {}
    names: Counter[str] = Counter()
    for proposal in _proposals(learned):
        before[len(texts)] = [
            "".join(one if one.isprintable() else ascii(one)[1:-1] for one in proposal.about)
        ]
        for text in proposal.rules:
            head, _, name = text.rpartition(":name=")
            names[name] += 1
            unique = f"{name}-{names[name]}" if names[name] > 1 else name
            texts.append(f"{head}:name={quote(unique)}")
    rules = parse_rules(texts)
    return rules, {rules[at].name: about for at, about in before.items()}


def _proposals(learned: Learned) -> Iterator[Proposal]:
    yield from _files(learned)
    for fd, stream in enumerate(STREAMS):
        seen = learned.others.get(stream, Counter())
        if fd and (calls := _names(seen, WRITES)):
            errors = ("ENOSPC", "full"), ("EPIPE", "closed")
            rules = (f"{calls}:fd={fd}:error={error}:name={stream}-{how}" for error, how in errors)
            yield Proposal(f"{stream}: {_told(seen)}", tuple(rules))
    if calls := _names(learned.others.get("stdin", {}), READS):
        text = f"{calls}:fd=0:error=EIO:name=stdin-unreadable"
        yield Proposal(f"stdin: {_told(learned.others['stdin'])}", (text,))
    yield from _network(learned)
    yield from _limits(learned)


def _files(learned: Learned) -> Iterator[Proposal]:
    ours = {path: seen for path, seen in learned.files.items() if _is_data(path)}
    written = {path: _of(seen, WRITES | COPIES | SIZES | SYNCS) for path, seen in ours.items()}
    for path in sorted((p for p in ours if written[p]), key=lambda p: -written[p])[:_MOST_FILES]:
        seen, name = ours[path], _slug(path)
        at = f"path={quote(_lasting(path, seen, learned.pids))}"
        rules = []
        growing = WRITES | COPIES | SIZES & {"fallocate"}
        if calls := _names(seen, growing):
            rules.append(f"{calls}:{at}:error=ENOSPC:name={name}-full")
            rules.append(f"{calls}:{at}{_midway(seen, growing)}:error=EIO:name={name}-breaks")
        if calls := _names(seen, GROUPS["write"]):
            rules.append(f"{calls}:{at}:short=50%:name={name}-short")
        if calls := _names(seen, SYNCS):
            rules.append(f"{calls}:{at}:error=EIO:name={name}-sync")
            rules.append(f"{calls}:{at}:delay=100ms..500ms:name={name}-slow")
        yield Proposal(f"{path}: {_told(seen)}", tuple(rules))
    read = {path: _of(seen, READS) for path, seen in ours.items() if not written[path]}
    # The program's own files rather than the system's.
    ranked = sorted((p for p in read if read[p]), key=lambda p: (p.startswith(_SYSTEM), -read[p]))
    for path in ranked[:_MOST_FILES]:
        seen, name, at = ours[path], _slug(path), f"path={quote(as_glob(path))}"
        rules = []
        if calls := _names(seen, OPENS):
            rules.append(f"{calls}:{at}:error=EACCES:name={name}-denied")
        if calls := _names(seen, READS):
            rules.append(f"{calls}:{at}:error=EIO:name={name}-unreadable")
        if calls := _names(seen, GROUPS["read"]):
            rules.append(f"{calls}:{at}:short=1:name={name}-short")
        yield Proposal(f"{path}: {_told(seen)}", tuple(rules))
    changes: Counter[str] = Counter()
    for seen in ours.values():
        changes.update({name: count for name, count in seen.items() if name in CHANGES})
    rules = []
    if calls := _names(changes, GROUPS["rename"] | GROUPS["link"] | GROUPS["mkdir"]):
        rules.append(f"{calls}:error=ENOSPC:name=no-space-for-names")
    if calls := _names(changes, CHANGES):
        rules.append(f"{calls}:error=EACCES:name=names-denied")
    if rules:
        yield Proposal(f"Names and modes of files: {_told(changes)}", tuple(rules))


def _network(learned: Learned) -> Iterator[Proposal]:
    peers = sorted(learned.peers.items(), key=lambda one: -one[1].total())
    for peer, seen in peers[:_MOST_PEERS]:
        name, at = _slug(peer), _address(peer, learned)
        rules = []
        if calls := _names(seen, GROUPS["connect"]):
            rules.append(f"{calls}:{at}:error=ECONNREFUSED:name={name}-refused")
            if not peer.startswith("unix:"):
                rules.append(f"{calls}:{at}:delay=2s:error=ETIMEDOUT:name={name}-timeout")
        rules += _transfers(seen, at, name)
        yield Proposal(f"Peer {peer}: {_told(seen)}", tuple(rules))
    for address, seen in sorted(learned.served.items(), key=lambda one: -one[1].total()):
        name, at = f"serve-{_slug(address)}", _address(address, learned)
        rules = []
        if "bind" in seen:
            rules.append(f"bind:{at}:error=EADDRINUSE:name={name}-in-use")
        if calls := _names(seen, _TAKES_PEERS):
            rules.append(f"{calls}:{at}:probability=10%:error=EMFILE:name={name}-full")
        rules += _transfers(seen, at, name)
        yield Proposal(f"Served at {address}: {_told(seen)}", tuple(rules))


def _transfers(seen: Counter[str], at: str, name: str) -> Iterator[str]:
    if calls := _names(seen, READS):
        midway = _midway(seen, READS)
        yield f"{calls}:fd=socket:{at}{midway}:error=ECONNRESET:name={name}-reset"
        yield f"{calls}:fd=socket:{at}:delay=200ms:name={name}-slow"
    if calls := _names(seen, WRITES):
        yield f"{calls}:fd=socket:{at}:probability=10%:error=EPIPE:name={name}-gone"


def _midway(seen: Counter[str], calls: Iterable[str]) -> str:
    """Return what lets the first call pass, where there is a second that can fail."""
    return ":when=2+" if sum(seen[name] for name in calls) > 1 else ""


def _limits(learned: Learned) -> Iterator[Proposal]:
    seen = learned.calls
    if calls := _names(seen, GROUPS["descriptor"] | OPENS):
        text = f"{calls}:probability=10%:error=EMFILE:name=descriptors"
        yield Proposal("Descriptors run out.", (text,))
    if calls := _names(seen, GROUPS["alloc"]):
        text = f"{calls}:probability=10%:error=ENOMEM:name=memory"
        yield Proposal("Memory runs out.", (text,))
    tasks = []
    if calls := _names(seen, GROUPS["fork"]):
        tasks.append(f"{calls}:error=EAGAIN:name=tasks")
    if calls := _names(seen, GROUPS["exec"]):
        tasks.append(f"{calls}:error=ENOENT:name=programs")
    if tasks:
        yield Proposal("Processes, threads and programs cannot be started.", tuple(tasks))
    if calls := _names(seen, WAITS - GROUPS["sleep"]):
        text = f"{calls}:when=1+2:error=EINTR:name=interrupted"
        yield Proposal("Waiting is interrupted by a signal.", (text,))
    if calls := _names(seen, GROUPS["random"]):
        yield Proposal("No random bytes.", (f"{calls}:error=ENOSYS:name=random",))


def _is_data(path: str) -> bool:
    return path.startswith("/") and not path.startswith(_WORLD)


def _of(seen: Mapping[str, int], names: Iterable[str]) -> int:
    return sum(seen.get(name, 0) for name in names)


def _names(seen: Mapping[str, int], names: Iterable[str]) -> str:
    return ",".join(sorted(name for name in names if seen.get(name)))


def _told(seen: Counter[str]) -> str:
    """Return `4 write, 2 fsync`, the most first."""
    return ", ".join(f"{count} {name}" for name, count in seen.most_common(6))


def _lasting(path: str, seen: Counter[str], pids: Iterable[int]) -> str:
    """Return a glob for a path, in which what another run would name otherwise is any."""
    folder, _, base = path.rpartition("/")
    glob = as_glob(base)
    for pid in pids:
        glob = re.sub(rf"(?<!\d){pid}(?!\d)", "*", glob)
    ending = re.search(r"(tmp)?(?:[0-9a-f]{16,}|\w{8}|\w{6})$", base, re.ASCII)
    if glob == base and ending and any(name in seen for name in CHANGES):
        # As mkstemp(3) makes them: six letters of any kind; Python's are eight behind `tmp`.
        random = ending[0].removeprefix("tmp") if ending[1] else ending[0]
        random = random[-6:] if len(random) < 16 and not ending[1] else random
        kinds = (str.isupper, str.islower, str.isdigit)
        if "_" not in random and sum(any(map(kind, random)) for kind in kinds) > 1:
            glob = f"{base.removesuffix(random)}*"
    return f"{as_glob(folder)}/{glob}"


def _slug(text: str) -> str:
    """Return a rule's name for a path or an address."""
    base = text.removeprefix("unix:").rstrip("/").rpartition("/")[2] or text
    return re.sub(r"[^A-Za-z0-9_.]+", "-", base).strip("-")[:40] or "file"


def _address(label: str, learned: Learned) -> str:
    """Return the test of an address that has this label."""
    labels = [label, *(relative for relative, path in learned.aliases.items() if path == label)]
    patterns = (
        f"unix:{as_glob(one.removeprefix('unix:'))}" if one.startswith("unix:") else one
        for one in labels
    )
    return f"address={','.join(map(quote, patterns))}"
