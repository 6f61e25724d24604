"""AWS on one machine: ministack 1.5.33, corrected where it differs from AWS in a way this project relies on.

    .local/venvs/emulator/bin/python -m local.emulator.emulator

It listens on 127.0.0.1 and is ready when `GET /_ministack/health` answers; the variables it reads are in settings.py.
The corrections replace functions inside of ministack, so they hold for exactly one version of it. Each says what AWS
does, and tests/local/emulator shows the difference on ministack with and without it.
"""

from __future__ import annotations

import importlib.metadata
import os
import socket
import sys

from . import settings as configuration

MINISTACK = "1.5.33"


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    found = importlib.metadata.version("ministack")
    if found != MINISTACK:
        raise SystemExit(f"emulator: made for ministack {MINISTACK}, found {found}")
    try:
        settings = configuration.read(os.environ)
    except configuration.SettingInvalid as error:
        raise SystemExit(f"emulator: {error}") from None
    _claim_port(settings.port)
    configuration.hand_to_ministack(settings)

    # Only now, for ministack reads its variables when it is imported.
    from ministack import app

    from . import api_gateway, cloudformation, event_sources, lambda_functions, permissions, persistence, step_functions

    lambda_functions.correct(settings)
    api_gateway.correct()
    cloudformation.correct()
    event_sources.correct()
    permissions.correct()
    step_functions.correct()
    persistence.correct(settings)
    sys.argv = sys.argv[:1]  # ministack has options of its own
    try:
        app.main()
    finally:
        lambda_functions.stop(settings)


def _claim_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: a port in TIME_WAIT is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SystemExit(f"emulator: port {port} (EMULATOR_PORT) cannot be used: {error.strerror}") from None


if __name__ == "__main__":
    main()
