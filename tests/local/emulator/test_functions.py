"""How functions run."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kit.waiting import eventually

from .kit import MAX_CONCURRENT, REGION, Emulator, zipped


def test_exceptions_keep_their_names(stock: Emulator, corrected: Emulator) -> None:
    assert corrected.invoke(do="raise")["errorType"] == "CardDeclined"
    assert stock.invoke(do="raise")["errorType"] == "Runtime.HandlerError"


def test_an_import_error_keeps_its_name(stock: Emulator, corrected: Emulator) -> None:
    def error(emulator: Emulator) -> str:
        return str(emulator.invoke(emulator.function("import absent"))["errorType"])

    assert error(corrected) == "Runtime.ImportModuleError"
    assert error(stock) != "Runtime.ImportModuleError"


def test_an_environment_outlives_an_exception(stock: Emulator, corrected: Emulator) -> None:
    def outlives(emulator: Emulator) -> bool:
        function = emulator.function()
        before = emulator.invoke(function)["process"]
        emulator.invoke(function, do="raise")
        return bool(emulator.invoke(function)["process"] == before)

    assert outlives(corrected)
    assert not outlives(stock)


def test_a_function_sees_nothing_of_the_emulator(stock: Emulator, corrected: Emulator) -> None:
    assert corrected.invoke(do="import", module="ministack")["errorType"] == "ModuleNotFoundError"
    assert stock.invoke(do="import", module="ministack") == "ministack"

    variables = corrected.invoke(do="environment")["variables"]
    assert not [name for name in variables if name.startswith(("EMULATOR", "MINISTACK", "SFN", "AUTH", "GATEWAY"))]
    assert "CALLERS" not in variables
    assert stock.invoke(do="environment")["variables"]["CALLERS"] == "own"


def test_a_function_sees_what_lambda_sets(corrected: Emulator) -> None:
    variables = corrected.invoke(do="environment")["variables"]
    assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == corrected.plain_function.split(":")[-1]
    assert variables["AWS_REGION"] == REGION
    assert variables["AWS_ENDPOINT_URL"] == corrected.endpoint
    assert corrected.invoke(do="import", module="boto3") == "boto3"


def test_layers_lie_over_one_another_and_under_the_function(stock: Emulator, corrected: Emulator) -> None:
    def version(emulator: Emulator, **files: str) -> str:
        layers = [
            emulator.aws("lambda").publish_layer_version(
                LayerName=f"layer{number}",
                Content={"ZipFile": zipped({"python/shared.py": f"VERSION = 'layer {number}'"})},
            )["LayerVersionArn"]
            for number in (1, 2)
        ]
        function = emulator.function(Layers=layers, files={f"{name}.py": text for name, text in files.items()})
        return str(emulator.invoke(function, do="version"))

    own = "VERSION = 'function'"
    assert version(corrected, shared=own) == "function"
    assert version(corrected) == "layer 2"
    assert (version(stock, shared=own), version(stock)) != ("function", "layer 2")


def test_functions_run_at_once_up_to_a_limit(stock: Emulator, corrected: Emulator, tmp_path: Path) -> None:
    def run_at_once(emulator: Emulator, enough: int) -> int:
        """How many of more calls than the limit run, while none may end."""
        calls, folder = MAX_CONCURRENT + 2, tmp_path / f"{emulator.port}"
        folder.mkdir()
        function = emulator.function(timeout=120)
        with ThreadPoolExecutor(calls) as callers:
            for number in range(calls):
                stay = {"do": "stay", "enter": str(folder / str(number)), "until": str(folder / "end")}
                callers.submit(emulator.invoke, function, **stay)
            eventually(lambda: len(list(folder.iterdir())) >= enough, f"{enough} to run", within_s=60)
            time.sleep(2)  # one more would begin
            found = len(list(folder.iterdir()))
            assert not list(folder.glob("*.left"))
            (folder / "end").touch()
        return found

    assert run_at_once(corrected, MAX_CONCURRENT) == MAX_CONCURRENT
    assert run_at_once(stock, MAX_CONCURRENT + 1) > MAX_CONCURRENT


def test_a_warm_invocation_takes_milliseconds(corrected: Emulator) -> None:
    def seconds() -> float:
        begun = time.perf_counter()
        corrected.invoke()
        return time.perf_counter() - begun

    # Nagle's algorithm and a delayed ACK cost each call 0.040 s. On a busy machine a quick one may be rare.
    assert any(seconds() < 0.035 for _ in range(1000))
