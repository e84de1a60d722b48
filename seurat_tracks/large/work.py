"""The folder in which an unfinished lift lies: what of it is done, and whose it is."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seurat_tracks.errors import StoreError
from seurat_tracks.large.identity import digest

_FACTS = "lift.json"
_BEGUN = "begun"


class Work:
    """An unfinished lift beside its target.

    The name holds the fingerprint of input and settings, so that nothing that was made
    with others is ever taken up. A step counts as done when its mark is there, which is
    written after all its files.

    Parameters
    ----------
    target
        Absolute path of the store to be.
    facts
        JSON values that say what the lift is of: all that its answer depends on.
    """

    def __init__(self, target: Path, facts: dict[str, Any]) -> None:
        self.target = target
        self.facts = facts
        self.key = digest(facts)
        self.begun = ""
        self.folder = target.with_name(f".{target.name}.{self.key}.partial")

    @property
    def store(self) -> Path:
        """The store, as far as it is filled."""
        return self.folder / "store"

    @property
    def backup(self) -> Path:
        """Where a store that is replaced steps aside."""
        return self.target.with_name(f".{self.target.name}.{self.key}.old")

    def done(self, step: str) -> bool:
        """Whether a step is done."""
        return (self.folder / "done" / step).exists()

    def finished(self) -> list[str]:
        """List the marks of the regions that are lifted."""
        return [path.name for path in (self.folder / "done").glob("lift-*")]

    def mark(self, step: str) -> None:
        """Say that a step is done."""
        (self.folder / "done" / step).touch()

    def open(self, *, resume: bool) -> None:
        """Make the folder, or take up what is there.

        Raises
        ------
        StoreError
            If an unfinished lift of other input or settings is there and `resume` is
            true; the text says what differs.
        """
        for other in unfinished(self.target):
            finished = (other / "done" / "laid-out").exists()
            if not resume or (finished and not (other / "store").exists()):
                shutil.rmtree(other, ignore_errors=True)
            elif other != self.folder:
                raise StoreError(
                    f"{self.target}: an unfinished lift is there ({other.name}), of "
                    f"other {_differences(other, self.facts)}. Lift with the same as "
                    "then to go on, or begin anew with resume=False (--restart), which "
                    "drops it"
                )
        facts, begun = self.folder / _FACTS, self.folder / _BEGUN
        if not (facts.exists() and begun.exists()):
            shutil.rmtree(self.folder, ignore_errors=True)
            (self.folder / "done").mkdir(parents=True, exist_ok=True)
            begun.write_text(uuid.uuid4().hex)
            new = facts.with_suffix(".new")
            new.write_text(json.dumps(self.facts, indent=1, sort_keys=True))
            new.replace(facts)
        self.begun = begun.read_text()

    def left_over(self) -> bool:
        """Whether this lift has ended, or was begun anew, without this process.

        A worker may still be at a step of which nobody waits for the result.
        """
        try:
            return (self.folder / _BEGUN).read_text() != self.begun
        except FileNotFoundError:
            return True

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes out of the target while this block runs.

        Raises
        ------
        StoreError
            If another process is lifting to this target now.
        """
        return alone_at(self.target, self.target.with_name(f".{self.target.name}.lock"))

    def sweep(self) -> None:
        """Delete what was written into the folder after it was removed."""
        if not (self.folder / _FACTS).exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def remove(self) -> None:
        """Delete the folder, and a replaced store whose deletion was cut short."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.backup, ignore_errors=True)


@contextlib.contextmanager
def alone_at(target: Path, lock_file: Path) -> Iterator[None]:
    """Keep other processes out; the lock goes with this process, however it ends.

    Raises
    ------
    StoreError
        If another process is lifting to the target now.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"{target}: another process is lifting to it now; wait for it, or choose "
            "another path"
        ) from error
    try:
        yield
    finally:
        # removed while it is held: whoever comes next makes a file of their own
        with contextlib.suppress(OSError):
            lock_file.unlink()
        lock.release()


def unfinished(target: Path) -> list[Path]:
    """Folders of unfinished lifts to a target."""
    return sorted(
        folder
        for folder in target.parent.glob(f".{target.name}.*.partial")
        if (folder / _FACTS).exists()
    )


def _differences(folder: Path, facts: dict[str, Any]) -> str:
    """Name what an unfinished lift was made with that is different now."""
    try:
        before = _flat(json.loads((folder / _FACTS).read_text()))
    except (OSError, ValueError):
        return "input or settings"
    now = _flat(json.loads(json.dumps(facts)))
    names = sorted(n for n in {*before, *now} if before.get(n) != now.get(n))
    return ", ".join(
        f"{n} ({before.get(n)!r}, now {now.get(n)!r})"[:120] for n in names
    )


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    """Put facts of facts beside the others, with names such as "depth.metres"."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{k}": v for k, v in value.items()})
        else:
            flat[name] = value
    return flat
