"""`actrec-zoo data extract`."""

from pathlib import Path

import click

_FOUND = 1


@click.command("extract")
@click.argument("videos", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--quality", type=click.IntRange(1, 95), default=95, show_default=True, help="Of the JPEG files.")
@click.option("--size", type=click.IntRange(min=1), help="Shorter side in pixels, for videos that are larger.")
def command(videos: Path, out: Path, quality: int, size: int | None) -> int:
    """Write the frames of every video below VIDEOS to folders of JPEG files in OUT, as they lie in VIDEOS.

    Folders that are there already are kept: call it again to go on. Exit code 1: a video could not be read.
    """
    from actrec_zoo.cli.display import ProgressDisplay, printable
    from actrec_zoo.data.extraction import extract_frames

    with ProgressDisplay() as display:
        done = extract_frames(videos, out, quality=quality, size=size, track=display.track)
    for error in done.failures.values():
        click.echo(printable(error), err=True)
    click.echo(f"{out}: {done.written} videos extracted, {done.kept} were there, {len(done.failures)} failed")
    return _FOUND if done.failures else 0
