"""`rlhf run`: the flow with an API around it, and its outcome in words.

Order matters for the start-up time: the configuration is checked before anything is started, and
the Prefect server comes up while Prefect and MLflow are being imported.
"""

import shlex
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from data.errors import InputError
from flows.api import ServerError, prefect_api
from flows.config import RunConfig
from flows.config_files import load_config
from flows.environment import prepare_environment, var_directory
from flows.human_step import waits_for_a_run
from flows.locks import PAGE_LOCK, lock_holder, run_lock
from flows.outcome import Span, StageFailedError
from flows.report import print_replies
from flows.stages import pipeline_stages
from flows.tables import print_rows
from flows.user_files import check_user_files
from flows.words import program

EXIT_FAILED, EXIT_MISTAKE, EXIT_INTERRUPTED = 1, 2, 130
# Their message says it all: a full disk, a training whose numbers exploded.
PLAIN_ERRORS = (InputError, OSError, FloatingPointError)


def run_pipeline(
    config_name: str,
    overrides: Sequence[str],
    first: str,
    last: str,
    *,
    wait: bool = False,
    batch_id: str = "",
) -> int:
    """Run the pipeline and print how it went.

    Args:
        config_name: A shipped config's name or a TOML file.
        overrides: `key=value` texts.
        first: Stage to make again, with those after it; empty for none.
        last: Stage to stop after; empty for the last.
        wait: Wait for another run to end, instead of refusing.
        batch_id: Run only if this batch still waits for a run; empty runs in any case.

    Returns:
        The exit code.

    Raises:
        InputError: A mistake that is found before a stage starts.
    """
    var = var_directory()
    config = load_config(config_name, overrides)
    Span(first=first, last=last).check(pipeline_stages())
    check_user_files(config)
    again = _command(config_name, overrides, last)
    prepare_environment(var)
    with run_lock(var, wait=wait), _sigterm_as_interrupt():
        # Else it would publish the batch again, and withdraw the one in work.
        if batch_id and not waits_for_a_run(var, batch_id):
            sys.stdout.write(f"Batch {batch_id} is finished or withdrawn; nothing is left to do.\n")
            return 0
        try:
            with prefect_api() as wait_for_api:
                rows = _run_flow(wait_for_api, config, first, last)
        except KeyboardInterrupt:
            text = "Interrupted; finished stages are kept. Continue with:"
            sys.stderr.write(f"\n{text}\n  {again}\n")
            return EXIT_INTERRUPTED
        except StageFailedError as error:
            return _explain(error, again)
        except ServerError as error:
            sys.stderr.write(f"\n{error}\nWhen it is mended, continue with:\n  {again}\n")
            return EXIT_FAILED
        except OSError as error:
            raise InputError(f"{error}. When it is mended, continue with: {again}") from None
    print_rows(rows)
    gate = next((row["summary"] for row in rows if row["summary"].get("waits_for")), None)
    if gate is not None:
        by_hand = _command(config_name, overrides, last, first=from_behind_gate(rows, first))
        sys.stdout.write(waiting_text(gate, lock_holder(var / PAGE_LOCK), by_hand))
    elif not last:
        print_replies(config.name)
        sys.stdout.write(f"\nAll figures, with their intervals:  {program()} report\n")
    sys.stdout.write(f"The MLflow and Prefect pages of this run:  {program()} ui\n")
    return 0


def waiting_text(gate: Mapping[str, Any], page: str | None, again: str) -> str:
    """What a person does while a run waits for rankings.

    Args:
        gate: Summary of the stage that waits.
        page: Address of the ranking page, None where it is not up.
        again: The command that continues the run.
    """
    if page:
        where = f"Rank here, with your personal link:  {page}\n"
    else:
        where = f"Rank in the page that this starts; it prints the link:  {program()} annotate\n"
    return (
        f"\nWaiting for rankings: {gate['waits_for']} (batch {gate['batch_id']}).\n"
        "Nothing runs meanwhile; the machine may be switched off.\n"
        f"{where}"
        "While the page is up, it starts the rest of the run when enough have come.\n"
        f"What is there so far:  {program()} status\n"
        f"Go on by hand:  {again}\n"
    )


def from_behind_gate(rows: Sequence[Mapping[str, Any]], first: str) -> str:
    """Where `--from` has to begin once people have ranked: at the first stage not made again yet.

    Args:
        rows: Of the run that waits.
        first: The stage that `--from` named; empty for none.
    """
    waiting = [str(row["stage"]) for row in rows if row["state"] == "waiting"]
    if not first or not waiting:
        return ""
    names = [stage.name for stage in pipeline_stages()]
    return max(first, waiting[0], key=names.index)


def _run_flow(
    wait_for_api: Any, config: RunConfig, first: str, last: str
) -> Sequence[dict[str, Any]]:
    from flows.pipeline import close_dead_runs, rlhf
    from tasks.tracking import preload

    preload()
    if wait_for_api():
        close_dead_runs()
    rows: Any = rlhf(config, first, last)
    return list(rows)


def _command(config_name: str, overrides: Sequence[str], last: str, *, first: str = "") -> str:
    """The command that continues this run; a `--from` that is done is left out."""
    words = ["run", "--config", config_name]
    words += [word for text in overrides for word in ("--set", text)]
    words += ["--from", first] if first else []
    words += ["--until", last] if last else []
    return f"{program()} {shlex.join(words)}"


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Make SIGTERM what Ctrl-C is; Prefect notes the crash and passes the signal on to us."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _explain(error: StageFailedError, again: str) -> int:
    """Say which stage ended the run, why, and how to go on. Returns the exit code."""
    print_rows([row.as_json() for row in error.rows])
    cause = error.__cause__ or error
    if isinstance(cause, PLAIN_ERRORS):
        sys.stderr.write(f"\nStage {error.stage} cannot go on: {cause}\n")
    else:
        traceback.print_exception(cause)
        sys.stderr.write(f"\nStage {error.stage} failed: {type(cause).__name__}: {cause}\n")
    sys.stderr.write(f"Finished stages are kept. When it is mended, continue with:\n  {again}\n")
    return EXIT_MISTAKE if isinstance(cause, InputError) else EXIT_FAILED
