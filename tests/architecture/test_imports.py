"""Who may import whom: the layers, and what must not be loaded to answer quickly."""

import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT

ALL_OF_CORE = (
    "import pkgutil, importlib, rlhf_core\n"
    "for it in pkgutil.walk_packages(rlhf_core.__path__, 'rlhf_core.'):\n"
    "    importlib.import_module(it.name)\n"
)


def loaded_after(code: str, names: set[str]) -> set[str]:
    """Which of the top-level modules `names` are loaded after `code`, in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return names & set(done.stdout.split())


def test_layers_hold() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", code, "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("code", "banned"),
    [
        (ALL_OF_CORE, {"prefect", "mlflow", "duckdb", "polars", "pydantic", "transformers"}),
        ("import flows.cli", {"torch", "mlflow", "prefect", "polars", "duckdb"}),
        # What answers while a run holds the store, and beside a page that is up for weeks.
        (
            "import flows.status_command, flows.human_step",
            {"torch", "mlflow", "prefect", "polars", "duckdb"},
        ),
        ("import flows.config", {"torch", "mlflow", "prefect"}),
        ("from flows.stages import pipeline_stages; pipeline_stages()", {"torch", "mlflow"}),
        ("import flows.pipeline", {"torch", "mlflow"}),
    ],
)
def test_a_light_import_stays_light(code: str, banned: set[str]) -> None:
    assert loaded_after(code, banned) == set()
