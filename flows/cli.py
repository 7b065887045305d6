"""The command line, `rlhf`: what the commands are, and the text that teaches them.

Each command's work is in a module of its own, imported when it is called: `rlhf stages` must not
wait for Prefect. A user's mistake is printed as one message with exit code 2, never a traceback.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_annotate import annotate, annotators_app
from flows.cli_rankings import rankings_app
from flows.mistakes import plain_mistakes
from tasks.code_digest import PACKAGES

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "Train a small language model from human preferences: corpus, fine-tuning, rankings, "
        "reward model, PPO, evaluation.\n\n"
        "Start with `rlhf run`. A second `rlhf run` takes every finished stage from the cache. "
        "All state lives in var/ (or where RLHF_VAR points)."
    ),
)

ConfigOption = Annotated[
    str,
    typer.Option(
        "--config",
        "-c",
        metavar="NAME_OR_PATH",
        help="A shipped config (demo, smoke, ...) or a TOML file. A file starts from a shipped "
        'one with `base = "demo"` and states only what it changes.',
    ),
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one value, written as in TOML: `--set ppo.kl_coef=0.2`. May be repeated.",
    ),
]


@app.command()
def run(
    config: ConfigOption = "demo",
    overrides: OverrideOption = None,
    from_stage: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Make this stage and those after it again, even if cached.",
        ),
    ] = "",
    until_stage: Annotated[
        str, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")
    ] = "",
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until another run ends, instead of refusing.")
    ] = False,
    batch: Annotated[str, typer.Option("--batch", metavar="BATCH", hidden=True)] = "",
) -> None:
    """Run the pipeline; finished stages with unchanged inputs come from the cache.

    Examples:
    * `rlhf run` runs the demo.
    * `rlhf run --set ppo.learning_rate=1e-4` reruns PPO and what follows it.
    * `rlhf run --config mine.toml --until build_pairs` stops before the reward model.
    * `rlhf run --config human` publishes responses for people to rank, and ends; `rlhf annotate`
      starts the rest when enough rankings have come.

    Exit codes: 0 done, or waiting for people; 1 a stage failed; 2 a mistake in what was given; 130
    interrupted.
    """
    from flows.run_command import run_pipeline

    with plain_mistakes():
        code = run_pipeline(
            config, overrides or [], from_stage, until_stage, wait=wait, batch_id=batch
        )
    raise typer.Exit(code)


@app.command()
def report(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one flat JSON object.")] = False,
    name: Annotated[
        str, typer.Option("--run", metavar="NAME", help="Newest run of this name; else of any.")
    ] = "",
) -> None:
    """Print the figures of the newest finished run, with their 95 % intervals."""
    from flows.report import print_report

    with plain_mistakes():
        print_report(as_json=as_json, name=name)


@app.command()
def status(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Say what waits for people, what runs now, and which run finished last."""
    from flows.status_command import print_status

    with plain_mistakes():
        print_status(as_json=as_json)


@app.command()
def stages() -> None:
    """List the stages in order: what each reads, and what it does."""
    from flows.tables import print_stages

    with plain_mistakes():
        print_stages()


@app.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A .pth or .safetensors with BlinkDL's names, or a policy directory.",
        ),
    ],
    destination: Annotated[
        Path,
        typer.Argument(
            metavar="DESTINATION",
            help="Ends in .pth or .safetensors: a checkpoint. Else: a directory.",
        ),
    ],
    *,
    tokenizer: Annotated[
        str,
        typer.Option(
            metavar="NAME_OR_PATH",
            help="`world`, or the tokenizer.json of the model. Models of 65536 tokens get `world`.",
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the destination.")] = False,
) -> None:
    """Turn an official RWKV-7 or RWKV-4 checkpoint into a policy directory, or back.

    A policy directory holds model.safetensors, config.json and tokenizer.json, as the stages of a
    run write them. Sizes are read from the file; a file that is not whole, or of another variant
    (RWKV-5, 6, 7a, 7b), is refused.

    Examples:
    * `rlhf convert rwkv7-g1d-0.1b.pth my-policy` reads a World model (`pip install
      -e '.[world]'` brings its tokenizer).
    * `rlhf convert RWKV-4-Pile-169M.pth pile --tokenizer 20B_tokenizer.json` reads one of 2022.
    * `rlhf convert my-policy mine.pth` writes what the `rwkv` package and its programs load.

    Exit codes: 0 done, 2 a mistake in what was given; then nothing was written.
    """
    from flows.convert import convert as convert_model

    with plain_mistakes():
        convert_model(source, destination, tokenizer=tokenizer, force=force)


@app.command()
def doctor() -> None:
    """Check versions, paths, ports and locks, and say how to mend what is wrong."""
    from flows.doctor import print_checks

    with plain_mistakes():
        raise typer.Exit(print_checks())


@app.command()
def ui(
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect UI.")] = 4200,
) -> None:
    """Open the MLflow and Prefect UIs of var/ on 127.0.0.1 until Ctrl-C."""
    from flows.ui import serve_ui

    with plain_mistakes():
        serve_ui(mlflow_port=mlflow_port, prefect_port=prefect_port)


@app.command()
def serve(
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect server.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow server.")] = 5000,
    page_port: Annotated[int, typer.Option(help="Port of the ranking page.")] = 8765,
) -> None:
    """Start Prefect with a worker and the deployments, MLflow and the ranking page, and leave them.

    All listen on 127.0.0.1 and work on var/. What runs already is left as it is. `rlhf stop` ends
    them.
    """
    from flows.serve import Ports, serve_all

    ports = Ports(prefect=prefect_port, mlflow=mlflow_port, page=page_port)
    with plain_mistakes():
        serve_all(ports)


@app.command()
def stop() -> None:
    """End what `rlhf serve` started, and nothing else."""
    from flows.serve import stop_all

    with plain_mistakes():
        stop_all()


app.command()(annotate)
app.add_typer(annotators_app, name="annotators")
app.add_typer(rankings_app, name="rankings")


def main() -> None:
    """Entry point of the `rlhf` command."""
    _show_our_warnings()
    try:
        app(prog_name="rlhf")
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        # Prefect's background threads outlive the flow and hold its code; taken down with them,
        # DuckDB's binding prints pages about "leaks". Everything is closed and written by now.
        os._exit(end.code if isinstance(end.code, int) else 1)


def _show_our_warnings() -> None:
    """On stderr; only those of our packages, for Prefect would log each failure once more."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    for package in PACKAGES:
        logging.getLogger(package).addHandler(handler)


if __name__ == "__main__":
    main()
