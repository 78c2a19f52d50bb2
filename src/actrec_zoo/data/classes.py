"""Which classes of a data set are used: all, those of a file, or those of a study."""

from pathlib import Path

from actrec_zoo.errors import DataError

_HMDB_SIMP = """
brush_hair cartwheel catch chew climb climb_stairs draw_sword eat fencing flic_flac golf handstand kiss pick pour pullup
pushup ride_bike shoot_bow shoot_gun situp smile smoke throw wave
"""

CLASS_LISTS: dict[str, tuple[str, ...]] = {"hmdb_simp": tuple(_HMDB_SIMP.split())}
"""Lists by name; `hmdb_simp` are the 25 classes of HMDB51 that the study compares models on."""


def read_classes(source: str) -> tuple[str, ...]:
    """The classes of a list by name, or of a text file with a class a line.

    Raises:
        DataError: there is no such list or file, or the file names no class or one twice.
    """
    if source in CLASS_LISTS:
        return CLASS_LISTS[source]
    try:
        lines = Path(source).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read --classes {source}: give a text file with a class a line, or {', '.join(CLASS_LISTS)}"
        ) from error
    seen: set[str] = set()
    for number, name in enumerate(map(str.strip, lines), start=1):
        if name in seen and name:
            raise DataError(f"{source}, line {number}: the class {name!r} is there twice")
        seen.add(name)
    classes = tuple(line.strip() for line in lines if line.strip())
    if not classes:
        raise DataError(f"{source} names no class: write one a line")
    return classes
