"""Two evaluations of the same videos, video by video: which model is better, how sure that is, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from actrec_zoo.data.manifest import IntArray
from actrec_zoo.data.strings import PackedStrings, StringIndex
from actrec_zoo.errors import ConfigError, DataError
from actrec_zoo.evaluation.intervals import difference_interval, units_of
from actrec_zoo.evaluation.metrics import TOP_K
from actrec_zoo.evaluation.readback import Evaluation, read_evaluation

_NAMED = 3
_SAME = "Compare evaluations of the same videos: `actrec-zoo eval` both models with one --data and --split"

Hits = NDArray[np.bool_]


def compare_evaluations(a: str | Path, b: str | Path) -> dict[str, Any]:
    """Compare two evaluations of the same videos, at video level.

    Args:
        a: eval.json, or the folder that holds it; predictions.csv lies beside it.
        b: of another model, or of the same under another protocol.

    Returns:
        What `actrec-zoo compare --json` prints; differences are those of B to A.

    Raises:
        RunError: a file is missing, damaged or changed.
        DataError: the evaluations are of other videos, or other classes of them.
        ConfigError: both are one file.
    """
    first, second = read_evaluation(Path(a)), read_evaluation(Path(b))
    if first.file.resolve() == second.file.resolve():
        raise ConfigError(f"{first.file} is named twice: an evaluation does not differ from itself")
    places = _places_of_same_videos(first, second)
    sources, clusters = _sources(first, second, places)
    right = first.in_top(1), second.in_top(1)[places]
    in_top5 = first.in_top(TOP_K), second.in_top(TOP_K)[places]
    return {
        "a": _described(first),
        "b": _described(second),
        "n": len(first.videos),
        "protocol": _differences(first, second),
        "warnings": list(_warnings(first, second, places)),
        "intervals": units_of(sources.videos),
        "top1": _compared(*right, clusters),
        "top5": _compared(*in_top5, clusters, open_to_chance=len(first.videos.labels) > TOP_K),
        "mcnemar": mcnemar(*right),
        "per_class": _per_class(first, *right),
        "changed": _changed(first, second, places, *right),
    }


def mcnemar(a: Hits, b: Hits) -> dict[str, Any]:
    """How many videos each of two models has right, and McNemar's exact test of whether they are equally good.

    The test takes videos for independent of each other.

    Args:
        a: whether the first model is right, bool[N].
        b: whether the second is.
    """
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return {
        "both_right": int((a & b).sum()),
        "only_a": only_a,
        "only_b": only_b,
        "both_wrong": int((~a & ~b).sum()),
        "p": float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
    }


def _places_of_same_videos(first: Evaluation, second: Evaluation) -> IntArray:
    """Where each video of the first evaluation is in the second, int64[N]."""
    places = StringIndex(second.videos.names).find(first.videos.names)
    only_first = first.videos.names.take(np.flatnonzero(places < 0))
    only_second = second.videos.names.take(np.setdiff1d(np.arange(len(second.videos)), places))
    missing = [
        f"{other.file} lacks {_some(names)} of {own.file}"
        for own, other, names in ((first, second, only_first), (second, first, only_second))
        if len(names)
    ]
    if missing:
        raise DataError(f"{'; '.join(missing)}. {_SAME}")
    if not len(places):
        raise DataError(f"{first.file} and {second.file} have no videos: there is nothing to compare")
    ours = np.array(first.videos.labels)[first.videos.truth]
    theirs = np.array(second.videos.labels)[second.videos.truth[places]]
    other = np.flatnonzero(ours != theirs)
    if len(other):
        example = f"{str(ours[other[0]])!r} in one and {str(theirs[other[0]])!r} in the other"
        names = _some(first.videos.names.take(other))
        raise DataError(f"{first.file} and {second.file} have other classes for {names}: {example}. {_SAME}")
    return places


def _sources(first: Evaluation, second: Evaluation, places: IntArray) -> tuple[Evaluation, IntArray]:
    """The evaluation that knows the sources of the videos, and the source of each video of the first."""
    if not _knows_groups(first) and _knows_groups(second):
        return second, second.videos.clusters[places]
    return first, first.videos.clusters


def _knows_groups(evaluation: Evaluation) -> bool:
    return bool(evaluation.videos.groups.lengths().any())


def _described(evaluation: Evaluation) -> dict[str, Any]:
    return {"file": str(evaluation.file), "model": evaluation.model, "protocol": dict(evaluation.protocol)}


def _differences(first: Evaluation, second: Evaluation) -> dict[str, list[Any]]:
    """What the protocols differ in, both values of it."""
    pairs = {key: [e.protocol.get(key) for e in (first, second)] for key in {**first.protocol, **second.protocol}}
    return {key: values for key, values in pairs.items() if values[0] != values[1]}


def _warnings(first: Evaluation, second: Evaluation, places: IntArray) -> Iterator[str]:
    """What to keep in mind when the figures are read."""
    for evaluation in (first, second):
        if evaluation.protocol.get("headline") == "clip":
            yield f"{evaluation.file} quotes clip level; what is compared is video level"
        n = len(evaluation.videos)
        if unread := int((evaluation.predicted == len(evaluation.videos.labels)).sum()):
            yield f"{evaluation.file}: {unread} of {n} videos could not be read, and count as wrong"
        if seen := evaluation.protocol.get("seen"):
            yield f"{evaluation.file}: its run trained on {seen} of {n} videos, or chose its epoch by them"
    if first.videos.labels != second.videos.labels:
        yield "the models know other classes, or in another order: top-5 may not mean the same"
    if _knows_groups(first) and _knows_groups(second) and _grouped_otherwise(first, second, places):
        yield f"the evaluations name other sources of some videos: those of {first.file} are drawn"


def _grouped_otherwise(first: Evaluation, second: Evaluation, places: IntArray) -> bool:
    return list(first.videos.groups) != list(second.videos.groups.take(places))


def _compared(a: Hits, b: Hits, clusters: IntArray, *, open_to_chance: bool = True) -> dict[str, Any]:
    """Both shares and their difference; a figure that is right for whatever was read has no interval."""
    interval = difference_interval(a, b, np.ones(len(a)), clusters) if open_to_chance else None
    return {
        "a": float(a.mean()),
        "b": float(b.mean()),
        "difference": float((b.sum() - a.sum(dtype=np.int64)) / len(a)),
        "interval": interval and list(interval),
    }


def _per_class(first: Evaluation, a: Hits, b: Hits) -> list[dict[str, Any]]:
    """Recall of both models in every class that has videos."""
    labels, truth = first.videos.labels, first.videos.truth
    counts = (np.bincount(truth, weights, len(labels)) for weights in (np.ones(len(a)), a, b))
    return [
        {"label": label, "support": int(n), "a": in_a / n, "b": in_b / n, "difference": (in_b - in_a) / n}
        for label, n, in_a, in_b in zip(labels, *(count.tolist() for count in counts), strict=True)
        if n
    ]


def _changed(first: Evaluation, second: Evaluation, places: IntArray, a: Hits, b: Hits) -> list[dict[str, Any]]:
    """The videos that one model alone has right, with both answers; null for a video that could not be read."""
    rows = np.flatnonzero(a != b)
    truth = first.videos.truth
    return [
        {
            "video": name,
            "label": first.videos.labels[truth[row]],
            "a": first.answer(row),
            "b": second.answer(int(places[row])),
            "gained": bool(b[row]),
        }
        for row, name in zip(rows.tolist(), first.videos.names.take(rows), strict=True)
    ]


def _some(names: PackedStrings) -> str:
    """How many videos, and the first of them."""
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} video{'s' if len(names) > 1 else ''} ({', '.join(names[:_NAMED])}{more})"
