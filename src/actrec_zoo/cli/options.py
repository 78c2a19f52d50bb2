"""Options that several commands have."""

import click

data_format = click.option(
    "--data-format", metavar="NAME", help="Layout of the data, such as hmdb51:2 or kinetics; found out without it."
)
classes = click.option("--classes", metavar="FILE|NAME", help="Keep the classes of a text file, or of hmdb_simp.")
