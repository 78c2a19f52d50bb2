"""What the library says, shown to the user of a command."""

import logging
import os

import click


class _EchoHandler(logging.Handler):
    """Messages of the library as plain lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


def show_log() -> None:
    """Let the user see what the library says; of several processes of one run, the first speaks."""
    logger = logging.getLogger("actrec_zoo")
    logger.setLevel(logging.INFO if int(os.environ.get("RANK", "0")) == 0 else logging.ERROR)
    if not logger.handlers:
        logger.addHandler(_EchoHandler())
