"""Where things live and the environment variables we set for our own process.

Every variable is a default: what the user has set stays. They must be set before Prefect, MLflow
and torch are imported, so the command line calls `prepare_environment` first.
"""

import os
from pathlib import Path


def var_directory() -> Path:
    """The directory of all mutable state: RLHF_VAR, else var/ where the command was started."""
    return Path(os.environ.get("RLHF_VAR", "var")).resolve()


def prepare_environment(var: Path) -> None:
    """Quiet, local and safe defaults for this process and the servers that it starts."""
    for name, value in environment_defaults(var).items():
        os.environ.setdefault(name, value)


def environment_defaults(var: Path) -> dict[str, str]:
    """The variables and their defaults."""
    return {
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": str(var / "prefect"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        # The command line words failures itself; Prefect's copy still reaches its server.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # A remote MLflow that hangs must not hold a stage for minutes (default: 7 tries of 120 s).
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        # Two busy-waiting OpenMP threads make tiny models several times slower.
        "OMP_WAIT_POLICY": "PASSIVE",
        "MPLBACKEND": "Agg",
    }
