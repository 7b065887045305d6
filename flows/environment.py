"""Where things live and the environment variables we set for our own process.

Every variable is a default: what the user has set stays, and only the hosts that no proxy may have
are added to. They must be set before Prefect, MLflow
and torch are imported, so the command line calls `prepare_environment` first.
"""

import os
from pathlib import Path

from data.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost")


def var_directory() -> Path:
    """The directory of all mutable state: RLHF_VAR, else var/ where the command was started."""
    return Path(os.environ.get("RLHF_VAR") or "var").resolve()


def prepare_environment(var: Path) -> None:
    """Quiet, local and safe defaults for this process and the servers that it starts."""
    for name, value in environment_defaults(var).items():
        os.environ.setdefault(name, value)
    _keep_loopback_from_proxies()


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


def cannot_write(path: Path, error: OSError) -> InputError:
    """What to tell a user whose var/ refuses a file."""
    return InputError(
        f"{path} cannot be written ({error.strerror}). Make it writable, or set RLHF_VAR to a "
        "directory that is."
    )


def _keep_loopback_from_proxies() -> None:
    """Add our servers' host to both spellings; the lower case one hides the other from Python."""
    for name, other in (("NO_PROXY", "no_proxy"), ("no_proxy", "NO_PROXY")):
        given = os.environ.get(name) or os.environ.get(other) or ""
        hosts = [host.strip() for host in given.split(",") if host.strip()]
        if hosts != ["*"]:
            missing = [host for host in LOOPBACK if host not in hosts]
            os.environ[name] = ",".join([*hosts, *missing])
