"""Tables of the commands that have to answer at once: importing rich would cost a third of their time."""

from collections.abc import Mapping, Sequence
from itertools import islice

Row = Sequence[str]


def format_table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Rows under a header, in columns of equal width; a column whose name begins with `>` is right-aligned."""
    return "\n".join(_lines(columns, rows))


def format_groups(columns: Sequence[str], groups: Mapping[str, Sequence[Row]]) -> str:
    """One table whose rows stand in groups, indented below the heading of each."""
    rows = [(f"  {first}", *others) for group in groups.values() for first, *others in group]
    names, rule, *body = _lines(columns, rows)
    left = iter(body)
    grouped = [("", heading, *islice(left, len(group))) for heading, group in groups.items()]
    return "\n".join((names, rule, *(line for lines in grouped for line in lines)))


def printable(text: str) -> str:
    """Text with what no terminal can show replaced: names of files need not be UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _lines(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    names = [column.removeprefix(">") for column in columns]
    widths = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column.startswith(">") else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in [names, ["-" * width for width in widths], *rows]
    ]
