"""`actrec-zoo demo-data`."""

from pathlib import Path

import click


@click.command("demo-data")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--scenes", type=click.IntRange(min=1), default=40, show_default=True, help="Videos a class.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def command(folder: Path, scenes: int, seed: int) -> None:
    """Write "motion shapes", a small generated data set, to FOLDER.

    Its classes differ in motion alone; each scene is a source group with one video a class.
    """
    from actrec_zoo.data.demo import MOTIONS, write_motion_shapes

    videos = write_motion_shapes(folder, scenes=scenes, seed=seed)
    click.echo(f"{folder}: {videos} videos in {len(MOTIONS)} classes, {scenes} scenes (groups)")
