"""The folders that runs work in: what is in them, and how they go away."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from injector.linux import locks

_PREFIX = "inject-hand-"
_LOCK = "lock"
_PART = 1 << 20  # bytes that are copied at a time


def claim() -> tuple[str, int]:
    """Make a temporary folder; return it with the descriptor that holds it.

    What nobody holds any more, because all who did were killed, is removed.
    """
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        if (alone := locks.unheld(str(lock))) is not None:
            remove(str(lock.parent))
            os.close(alone)
    made = tempfile.mkdtemp(prefix="inject-new-")
    held = hold(made)
    folder = made.replace("inject-new-", _PREFIX)
    os.rename(made, folder)  # only now it can be found
    return folder, held


def hold(folder: str) -> int:
    """Hold a claimed folder, as others may too; return the descriptor that does."""
    return locks.share(os.path.join(folder, _LOCK))


def copy(template: str, to: str) -> None:
    """Copy a folder with all that is in it to one that is new or empty.

    As `cp -a` does, but that the copies are ours, and hard links become files of their own.

    Raises:
        OSError: something in it cannot be copied; its text says what and why.
    """
    try:
        shutil.copytree(template, to, symlinks=True, copy_function=copy_one, dirs_exist_ok=True)
    except shutil.Error as error:
        source, _, why = error.args[0][0]
        raise OSError(f"{source} cannot be copied: {why}") from error


def copy_one(source: str, to: str) -> None:
    """Copy what is no folder: what it holds, its kind, its mode and times."""
    found = os.lstat(source)
    if stat.S_ISREG(found.st_mode):
        # shutil.copyfile asks about both again and again.
        with open(source, "rb", 0) as read, open(to, "wb") as written:
            shutil.copyfileobj(read, written, _PART)
    else:
        os.mknod(to, found.st_mode, found.st_rdev)
    shutil.copystat(source, to)  # mknod(2) takes the umask away from the mode


def remove(folder: str) -> None:
    """Remove a folder, also what the target made read-only in it."""
    for here, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(here, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def empty(folder: str) -> bool:
    """Remove what is in a folder; one that the target made something else goes itself.

    rmdir(2) of one that is needed again is dearer than all that is in it.

    Returns:
        Whether nothing is left: who is not root cannot remove what another user made in a folder
        of his own, and nobody what is immutable (chattr(1)).
    """
    try:
        if os.path.islink(folder):
            raise NotADirectoryError
        os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            found = list(entries)
        left = False
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                remove(entry.path)
                left |= os.path.lexists(entry.path)
            else:
                try:
                    os.unlink(entry.path)
                except OSError:
                    left = True
        return not left
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        with contextlib.suppress(OSError):
            os.unlink(folder)
        return not os.path.lexists(folder)
    except OSError:
        return False


def digests(top: str, *, read: bool = True) -> dict[str, str]:
    """Return a digest of each file below a folder by its name in it; "" unless it is read."""
    found: dict[str, str] = {}
    folders = [(top, "")]
    while folders:
        here, name = folders.pop()
        if name:
            found[name] = ""
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, f"{name}{entry.name}/"))
                    else:
                        found[name + entry.name] = _digest(entry) if read else ""
        except OSError:  # one that we may not look into
            continue
    return found


def _digest(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_symlink():
            return f"-> {os.readlink(entry.path)}"
        if not entry.is_file():
            return "special"
        with open(entry.path, "rb", 0) as file:
            if os.fstat(file.fileno()).st_size > _PART:
                return hashlib.file_digest(file, "sha256").hexdigest()
            return hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        return f"? {error.strerror}"
