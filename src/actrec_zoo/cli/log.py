"""What the library says, shown to the user of a command."""

import logging

import click


class _EchoHandler(logging.Handler):
    """Messages of the library as plain lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


def show_log() -> None:
    """Let the user see what the library says."""
    logger = logging.getLogger("actrec_zoo")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        logger.addHandler(_EchoHandler())
