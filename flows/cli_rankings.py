"""`rlhf rankings`: rankings of others in, ours out, checks and statistics.

What the commands do is in flows/rankings_command.py and flows/statistics_command.py, imported when
they are called.
"""

from pathlib import Path
from typing import Annotated

import typer

from flows.mistakes import plain_mistakes

rankings_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Take in rankings of other tools, write ours for them, check files, print statistics.",
)

FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        metavar="NAME",
        help="ranking/1, csv, label-studio, argilla, hh-rlhf, trl, ultrafeedback, "
        "openai-comparisons, oasst, llama-factory or graded; auto looks at the first row.",
    ),
]
DirectionOption = Annotated[
    str,
    typer.Option(
        metavar="DIRECTION",
        help="Files with scores need it: higher-is-better or lower-is-better.",
    ),
]
CoverageOption = Annotated[
    str,
    typer.Option(
        metavar="COVERAGE",
        help="What a response without a rank means. full: a mistake; top: it is below all ranked "
        "ones; subset: nothing.",
    ),
]
OrderOption = Annotated[
    str,
    typer.Option(
        metavar="WORDS",
        help="Grades or names of buckets, best first, with commas: `--order great,ok,bad`.",
    ),
]
RangeOption = Annotated[
    str, typer.Option("--range", metavar="LOW..HIGH", help="Range of numeric grades: `1..5`.")
]
AnnotatorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--annotator",
        metavar="[THEIRS=]OURS",
        help="Who answered, where the file names nobody; or `7=ann_07` for one whom it names.",
    ),
]


@rankings_app.command("import")
def import_(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="Files to take in.")],
    *,
    form: FormatOption = "auto",
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the four files are, or will be.")
    ] = Path(),
    direction: DirectionOption = "",
    coverage: CoverageOption = "full",
    order: OrderOption = "",
    score_range: RangeOption = "",
    annotator: AnnotatorOption = None,
    accept_held: Annotated[
        bool, typer.Option("--accept-held", help="Take in what would wait for a person.")
    ] = False,
) -> None:
    """Take answers of people and scorers into prompts.jsonl, sft.jsonl, sets.jsonl, rankings.jsonl.

    Those are the files that `rlhf run --config rankings` reads. Every answer ends as accepted,
    duplicate, held or quarantined; what was not taken is in refused.jsonl with the reason. The same
    file twice adds nothing. Answers to sets that a run has published (a CSV or tasks written by
    `rlhf rankings export`) go to that run.

    Examples:
    * `rlhf rankings import trees.jsonl --out mine`
    * `rlhf rankings import ultrafeedback.jsonl --direction higher-is-better`
    * `rlhf rankings import answers.csv --annotator ann_07`

    Exit codes: 0 done, 2 a mistake in what was given, or nothing in it could be taken.
    """
    from flows.rankings_command import ReadArguments, import_rankings

    arguments = ReadArguments(form, direction, coverage, order, score_range, tuple(annotator or ()))
    with plain_mistakes():
        code = import_rankings(sources, arguments, out=out, accept_held=accept_held)
    raise typer.Exit(code)


@rankings_app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files to check.")],
    *,
    form: FormatOption = "auto",
    direction: DirectionOption = "",
    coverage: CoverageOption = "full",
    order: OrderOption = "",
    score_range: RangeOption = "",
    annotator: AnnotatorOption = None,
) -> None:
    """Check files as import would, write nothing, and print each reason with its first place.

    Give a file of sets before the rankings of these sets.

    Exit codes: 0 every row is right, 2 some are not.
    """
    from flows.rankings_command import ReadArguments, validate_files

    arguments = ReadArguments(form, direction, coverage, order, score_range, tuple(annotator or ()))
    with plain_mistakes():
        code = validate_files(files, arguments)
    raise typer.Exit(code)


@rankings_app.command()
def export(
    destination: Annotated[
        Path, typer.Argument(metavar="DESTINATION", help="A file for csv and label-studio.")
    ],
    *,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="Sets to be ranked: csv, label-studio, argilla. Rankings of a run: ranking/1, and "
            "csv with --ranked. Pairs of a run: trl, hh-rlhf.",
        ),
    ],
    ranked: Annotated[bool, typer.Option("--ranked", help="csv: with the ranks of a run.")] = False,
    run: Annotated[
        str, typer.Option("--run", metavar="NAME", help="Newest run of this name; else of any.")
    ] = "",
    batch: Annotated[
        str, typer.Option(metavar="ID", help="Batch to be ranked; else the newest that waits.")
    ] = "",
    annotator: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Write the sets once for each, in an order of their own."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write sets to be ranked elsewhere, the rankings of a run, or its pairs for other trainers.

    Examples:
    * `rlhf rankings export sheet.csv --format csv --annotator ann_07`
    * `rlhf rankings export pairs --format trl`, then `datasets.load_dataset("pairs")`

    Exit codes: 0 done, 2 a mistake in what was given; then nothing was written.
    """
    from flows.rankings_export import ExportArguments, export_rankings

    arguments = ExportArguments(
        form, run=run, batch=batch, annotators=tuple(annotator or ()), ranked=ranked, force=force
    )
    with plain_mistakes():
        export_rankings(destination, arguments)


@rankings_app.command()
def stats(
    *,
    name: Annotated[
        str, typer.Option("--run", metavar="NAME", help="Newest run of this name; else of any.")
    ] = "",
    snapshot: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Tables of a snapshot, in place of a run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print agreement, biases and quality of a run's rankings, with their 95 % intervals."""
    from flows.statistics_command import print_statistics

    with plain_mistakes():
        print_statistics(name=name, snapshot=snapshot, as_json=as_json)
