"""One emulator of each kind for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .kit import Emulator, start_corrected, start_stock


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = start_stock(tmp_path_factory.mktemp("stock"))
    yield emulator
    emulator.stop()


@pytest.fixture(scope="session")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = start_corrected(tmp_path_factory.mktemp("corrected"))
    yield emulator
    emulator.stop()
