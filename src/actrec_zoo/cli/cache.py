"""`actrec-zoo cache`."""

import datetime

import click


@click.command("cache")
@click.option("--clear", is_flag=True, help="Remove them.")
def command(clear: bool) -> None:
    """List the features of frozen backbones that are kept."""
    from actrec_zoo.cli.display import make_console, make_table, printable
    from actrec_zoo.data.feature_store import features_folder, kept_features, limit_in_bytes

    limit = limit_in_bytes()
    kept = kept_features(features_folder())
    table = make_table("features", ">clips", ">MB", "last used", "builder", "data")
    for store in kept:
        used = datetime.datetime.fromtimestamp(store.used).isoformat(" ", "minutes")
        clips, builder, data = (str(store.about.get(key, "-")) for key in ("clips", "builder", "data"))
        table.add_row(store.folder.name, clips, f"{store.size / 1e6:.1f}", used, builder, printable(data))
    if kept:
        make_console().print(table)
    total = sum(store.size for store in kept)
    click.echo(f"{features_folder()}: {total / 1e6:.1f} MB of features, {limit / 1e9:g} GB allowed")
    if clear:
        left = sum(not store.clear() for store in kept)
        click.echo(f"removed {len(kept) - left} of {len(kept)}")
