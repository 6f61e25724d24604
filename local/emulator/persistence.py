"""State on disk that outlives `kill -9`.

ministack saves its state at a clean stop only. With a state directory, SIGUSR1 saves all of it now (after a deployment,
say). What is written to a table from then on goes into a journal before the write is answered, and the next start plays
the journal back: nothing DynamoDB acknowledged is lost. All else since the last save is, open executions included.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import persistence
from ministack.services import dynamodb

from .settings import Settings

TABLE_WRITES = ("_put_item", "_update_item", "_delete_item", "_batch_write_item", "_transact_write_items")


def correct(settings: Settings) -> None:
    """Save on SIGUSR1 and keep a journal of the tables, if the settings name a directory for it."""
    if settings.state_dir is None:
        return
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    journal = Journal(settings.state_dir / "dynamodb.journal")
    snapshot = settings.state_dir / "dynamodb.json"
    load_state, save_state = app._load_persisted_state, persistence.save_state

    def load() -> None:
        load_state()
        if snapshot.exists():
            journal.play_back()
        else:
            journal.clear()  # of an emulator that was reset, or never saved: its tables are gone

    def save(service: str, data: dict[str, Any]) -> None:
        save_state(service, data)
        if service == "dynamodb":
            journal.clear()  # by whoever saves, a clean stop too: played back on top of this state, an ADD counts twice

    def save_soon(*_: object) -> None:
        # Not here: a signal arrives in the middle of anything. The event loop writes to no table while it does this.
        app._MAIN_LOOP.call_soon_threadsafe(lambda: persistence.save_all(app._build_persistence_save_dict()))

    app._load_persisted_state = load
    persistence.save_state = save
    for name in TABLE_WRITES:
        setattr(dynamodb, name, journal.writing(name, getattr(dynamodb, name)))
    signal.signal(signal.SIGUSR1, save_soon)


class Journal:
    """The successful writes to tables, in order, as the requests they were."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Not synced: what a killed process wrote is the kernel's to keep, and the machine's power is not at stake.
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_RDWR, 0o600)
        self._operations: dict[str, Callable[[Any], Any]] = {}

    def writing(self, name: str, operation: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The operation, in the journal by the time it is answered."""
        self._operations[name] = operation

        def write(request: Any) -> Any:
            line = json.dumps([name, request]) + "\n"  # before the operation, which may alter it
            answer = operation(request)
            if answer[0] == 200:
                os.write(self._file, line.encode())
            return answer

        return write

    def play_back(self) -> None:
        """Do all of it again."""
        for line in self._path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # a torn last line was never answered
                name, request = json.loads(line)
                self._operations[name](request)

    def clear(self) -> None:
        """Forget all of it."""
        os.ftruncate(self._file, 0)
