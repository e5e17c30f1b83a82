"""The command line: `mixworker run | serve | account | recover | room | demo | preview | …`.

Each command imports what it needs when it is called: a worker must be in the room a second after
it was started, and most of that second would go into importing what it never uses.
"""

import asyncio
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from worker import __version__
from worker.cli import account_commands
from worker.cli.exits import errors_in_words
from worker.core.spec import JobSpec
from worker.errors import InvalidField
from worker.settings import Settings, load_settings

app = typer.Typer(
    name="mixworker",
    help="Records WebRTC rooms: mixes the loudest, composites everybody, encodes once.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


app.add_typer(account_commands.app)


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for every command."""

    settings: Settings
    config: Path | None
    """Where the settings came from."""


JobArgument = Annotated[str, typer.Argument(metavar="JOB.json", help="Job document, - for stdin.")]


def main() -> None:
    """Entry point."""
    app()


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Settings file; see configs/worker.toml.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"mixworker {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
    with errors_in_words():
        settings = load_settings(config)
    context.obj = Options(settings, config)
    logging.basicConfig(
        level=settings.log.level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


@app.command()
def run(context: typer.Context, job: JobArgument) -> None:
    """Record one room as the job document says; the exit code tells how it ended."""
    from worker.cli.run import run_to_the_end

    with errors_in_words():
        code = run_to_the_end(_read_job(job), context.obj.settings)
    raise typer.Exit(code)


@app.command()
def serve(
    context: typer.Context,
    drain: Annotated[
        bool,
        typer.Option(
            "--drain", help="Let workers finish before it ends: in a container none goes on."
        ),
    ] = False,
) -> None:
    """Serve the control API and its dashboard; starts a worker for each job."""
    from worker.cli.serve import serve_until_stopped

    with errors_in_words():
        asyncio.run(serve_until_stopped(context.obj.settings, context.obj.config, drains=drain))


@app.command()
def room(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that joining needs beyond loopback.")
    ] = None,
    admin_token_file: Annotated[
        Path | None, typer.Option(help="File with the token of who may dismiss and remove people.")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="Scenario of synthetic participants to let in.")
    ] = None,
) -> None:
    """Serve a small test room with a web page; media goes from browser to browser."""
    from worker.cli.room import serve_until_stopped

    with errors_in_words():
        asyncio.run(
            serve_until_stopped(
                host=host,
                port=port,
                token_file=token_file,
                admin_token_file=admin_token_file,
                scenario=scenario,
            )
        )


@app.command()
def cast(
    scenario: Annotated[Path, typer.Argument(help="Scenario file (TOML).")],
    url: Annotated[str, typer.Option(help="The room server's WebSocket address.")],
    room_id: Annotated[str, typer.Option("--room", help="Room to join.")] = "demo",
) -> None:
    """Let the synthetic participants of a scenario join a test room."""
    from worker.cli.room import cast_scenario

    with errors_in_words():
        asyncio.run(cast_scenario(scenario, url, room_id))


@app.command()
def demo(
    context: typer.Context,
    participants: Annotated[int, typer.Option(min=1, max=25)] = 4,
    layout: Annotated[str, typer.Option(help="gallery, share-left or share-right.")] = "gallery",
    template: Annotated[str, typer.Option(help="Encode template of the API.")] = "1280x720_30_1710",
    seconds: Annotated[float, typer.Option(min=1, max=3600)] = 15,
    scenario: Annotated[
        Path | None, typer.Option(help="Scenario file instead of the built-in one.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Directory for the recording.")] = Path("out"),
    fast: Annotated[
        bool, typer.Option("--fast", help="Without a network, as fast as it encodes.")
    ] = False,
) -> None:
    """Record a room of synthetic people to an MP4: nothing else is needed."""
    from worker.cli.demo import DemoOptions, run_demo

    with errors_in_words():
        code = run_demo(
            DemoOptions(
                participants=participants,
                layout=layout,
                template=template,
                seconds=seconds,
                scenario=scenario,
                output=output,
                fast=fast,
            ),
            context.obj.settings,
        )
    raise typer.Exit(code)


@app.command()
def recover(
    context: typer.Context,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds a store may fail before it is given up.")
    ] = 120,
    store: Annotated[
        str | None,
        typer.Option(help="Also complete what exists only as parts: s3://bucket[/prefix]."),
    ] = None,
    location: Annotated[str, typer.Option(help="Of [storage.locations], for --store.")] = "",
    older_than: Annotated[float, typer.Option(min=1, help="Hours without a new part.")] = 24,
) -> None:
    """Finish recordings that crashed workers left in the spool: repair, upload, announce."""
    from worker.cli.recover import RecoverOptions, recover_all

    with errors_in_words():
        options = RecoverOptions(patience, store, location, older_than)
        code = asyncio.run(recover_all(context.obj.settings, options))
    raise typer.Exit(code)


@app.command()
def preview(
    job: JobArgument,
    participants: Annotated[int, typer.Option("-n", min=0, max=500)] = 4,
    output: Annotated[Path, typer.Option("-o", help="PNG to write.")] = Path("preview.png"),
) -> None:
    """Draw a job's layout for N participants to a PNG, without any room."""
    from worker.cli.preview import draw_preview

    with errors_in_words():
        for warning in draw_preview(_read_job(job), participants, output):
            typer.echo(f"mixworker: {warning}", err=True)
        typer.echo(str(output))


@app.command()
def capacity(
    context: typer.Context,
    job: Annotated[
        str | None,
        typer.Argument(metavar="[JOB.json]", help="Take template and layout from a job document."),
    ] = None,
    participants: Annotated[int, typer.Option("--participants", "-n", min=1, max=500)] = 9,
    size: Annotated[str, typer.Option(help="What their cameras send.")] = "640x360",
    fps: Annotated[int, typer.Option(min=1, max=60)] = 30,
    codec: Annotated[str, typer.Option(help="vp8, vp9 or h264.")] = "vp8",
    kbps: Annotated[
        int | None, typer.Option(min=10, help="Bitrate of a camera; else what is usual.")
    ] = None,
    template: Annotated[str, typer.Option(help="Encode template of the API.")] = "1280x720_30_1710",
    layout: Annotated[str, typer.Option(help="gallery, share-left or share-right.")] = "gallery",
    cores: Annotated[float | None, typer.Option(min=0.1, help="Cores of the machine.")] = None,
    memory: Annotated[float | None, typer.Option(min=0.1, help="Its memory, GB.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what a job will need: cores, memory, and how many such jobs fit a machine."""
    from worker.cli.capacity import CapacityOptions, print_capacity

    with errors_in_words():
        options = CapacityOptions(
            participants=participants,
            size=size,
            fps=fps,
            codec=codec,
            kbps=kbps,
            template=template,
            layout=layout,
            cores=cores,
            memory_gb=memory,
            as_json=as_json,
            decoder_threads=context.obj.settings.video.decoder_threads,
            encoder_threads=context.obj.settings.video.encoder_threads,
        )
        print_capacity(options, None if job is None else _read_job(job).mix)


def _read_job(argument: str) -> JobSpec:
    from worker.api.wire.job_document import parse_job_document
    from worker.api.wire.strict_json import MAX_DOCUMENT_BYTES

    try:
        if argument == "-":
            return parse_job_document(sys.stdin.buffer.read(MAX_DOCUMENT_BYTES + 1))
        with Path(argument).open("rb") as file:
            return parse_job_document(file.read(MAX_DOCUMENT_BYTES + 1))
    except OSError as exc:
        raise InvalidField(argument, exc.strerror or "cannot be read") from exc
