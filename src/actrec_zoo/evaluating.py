"""The verb `evaluate`: a model or a file of scores in, eval.json and what lies beside it out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actrec_zoo import distributed
from actrec_zoo.cards import refresh_run_card
from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.components import plugin_metrics, read_data
from actrec_zoo.data.dataset import ClipDataset
from actrec_zoo.data.grouping import group_by
from actrec_zoo.data.label_map import match_classes, read_label_map, relabelled
from actrec_zoo.data.layouts import data_name
from actrec_zoo.data.manifest import IntArray, Manifest
from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.devices import default_workers, resolve_device
from actrec_zoo.errors import RunError
from actrec_zoo.evaluation.analysis import analyse
from actrec_zoo.evaluation.corruption import corruptions_named
from actrec_zoo.evaluation.evaluator import VideoEvaluator
from actrec_zoo.evaluation.identity import identity, videos_digest
from actrec_zoo.evaluation.inference import AS_THEY_ARE, gather
from actrec_zoo.evaluation.page.gallery import Footage
from actrec_zoo.evaluation.pictures import remove_pictures, write_pictures
from actrec_zoo.evaluation.predictions import PREDICTIONS_FILE, Predictions, Videos
from actrec_zoo.evaluation.protocol import Protocol
from actrec_zoo.evaluation.robustness import accuracy_lost
from actrec_zoo.evaluation.scores import ScoreFile, ScoreSpool, require_score_file
from actrec_zoo.files import require_folder, write_json
from actrec_zoo.hub.package import EVAL_FILE, WEIGHTS_FILE
from actrec_zoo.hub.packing import library_versions
from actrec_zoo.hub.reference import PREFIX
from actrec_zoo.loading import is_path, load_to_answer, locate
from actrec_zoo.memory import shortages_named
from actrec_zoo.precision import Precision, resolve_precision
from actrec_zoo.preparation import EvalSplit, part_of, probed, require_same_clips
from actrec_zoo.spec import InputSpec
from actrec_zoo.training.checkpoint import HISTORY, read_history
from actrec_zoo.training.run import RUN_FILE, count_seen
from actrec_zoo.training.state import EpochRecord

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Subject:
    """What is evaluated.

    Attributes:
        home: folder of the model, where it has one.
        classifier: the model.
        folder: of the results; None where none are written.
    """

    home: Path | None
    classifier: VideoClassifier
    folder: Path | None


@dataclass(frozen=True)
class _Evaluated:
    """What it is evaluated on.

    Attributes:
        manifest: the data, with the model's classes.
        videos: of it.
        mapping: what is known of its classes: `label_map` and `left_out` of eval.json; empty without a map.
    """

    manifest: Manifest
    videos: IntArray
    mapping: Mapping[str, Any]


@dataclass(frozen=True)
class _Pictures:
    """Where that comes from which is shown beside the figures.

    Attributes:
        run: folder that may have a history.
        footage: the videos; None where they are not at hand.
    """

    run: Path | None
    footage: Footage | None = None


def evaluate(
    model: str | Path | VideoClassifier,
    data: str | Path,
    *,
    data_format: str | None = None,
    classes: str | None = None,
    split: EvalSplit = "test",
    splits: str | Path | None = None,
    protocol: str | None = None,
    views: str | None = None,
    corrupt: Sequence[str] = (),
    map_labels: str | Path | None = None,
    out: str | Path | None = None,
    scores: str | Path | None = None,
    report: bool = True,
    weights: str = "auto",
    batch_size: int = 16,
    precision: str = "fp32",
    workers: int | None = None,
    device: str = "auto",
    track: Track[Any] = no_progress,
) -> dict[str, Any]:
    """Evaluate a trained model and return what eval.json holds.

    Args:
        model: run folder, name, `hf:` reference, or a loaded model.
        data: folder or file, in any known layout.
        data_format: name of the layout; found out without it.
        classes: text file with the classes to keep, or `hmdb_simp`.
        split: which part of the data; `all` needs no split files.
        splits: folder of split files; by default the run's own copy, else the splits that the data set states.
        protocol: `video`: the mean over the clips of a video; `report`: each block of T consecutive frames by itself.
        views: clips by crops of a video, as `10x3`, a protocol of its own.
        corrupt: what else the clips are shown like: names of corruptions, or `all`, `order` or `image`, each with a
            severity from 1 to 5, as in `blur:3`.
        map_labels: TOML file with a table `[labels]`: the model's class, or an empty string to leave videos out, by
            class of the data; without it both have to have the same classes.
        out: folder that eval.json is written to; by default the folder of the model, or `runs/` for one of the Hub;
            nothing is written for a loaded model without it. The card in a run's folder tells the figures, too.
        scores: file that the scores of every clip are written to, .npz; see `evaluate_scores`.
        report: whether report.html and plots/ are written, too; without it those of an earlier evaluation are removed.
        weights: `auto`: trained ones; or `pretrained`, upstream's, for the name of a model that keeps its classifier.
        batch_size: clips at once; the result does not depend on it.
        precision: that the network computes in: fp32, bf16, fp16, or auto, which is what `train` takes on the device.
        workers: decoding processes.
        device: auto, cpu, cuda or mps.
        track: shows the progress.

    Raises:
        ActrecZooError: the model, the data or the splits do not fit.
    """
    distributed.join()
    with distributed.losses_named():
        chosen = Protocol.of(protocol, views)
        corruptions = corruptions_named([corrupt] if isinstance(corrupt, str) else corrupt)
        if scores:
            distributed.from_first(lambda: require_score_file(Path(scores)))
        target = distributed.together(lambda: resolve_device(device))
        number_format = distributed.together(lambda: resolve_precision(precision, target))
        subject = distributed.first_before_others(lambda: _subject(model, weights, out))
        classifier = subject.classifier
        evaluated = distributed.first_before_others(
            lambda: _evaluated(classifier, data, data_format, classes, split, splits, map_labels, subject.home, track)
        )
        manifest, chosen_videos = evaluated.manifest, evaluated.videos
        was_on = classifier.device
        clips = ClipDataset(
            manifest, chosen_videos, chosen.sampler(classifier.input), chosen.transform(classifier.input)
        )
        require_same_clips(data, [clips])
        spool = ScoreSpool(_places(chosen_videos, len(manifest)), len(classifier.labels)) if scores else None
        with shortages_named("evaluate", "Fewer clips at once take less: a smaller --batch-size, or --precision bf16."):
            gathered = gather(
                classifier.to(target),
                clips,
                batch_size=batch_size,
                workers=default_workers() if workers is None else workers,
                precision=number_format,
                metrics=plugin_metrics(),
                corruptions={corruption.title: corruption.of(manifest) for corruption in corruptions},
                on_scores=spool or (lambda batch, logits: None),
                track=track,
            )
        classifier.to(was_on)
        about = _about(subject, evaluated, chosen, data, split, number_format)
        videos = Videos.of(manifest, chosen_videos)
        for evaluator in gathered.values():
            evaluator.fail_where_not_finite(videos.names)
        predictions = gathered[AS_THEY_ARE].predictions(videos)
        pictures = _Pictures(subject.home, Footage(manifest, chosen_videos)) if report else None
        lost = accuracy_lost(corruptions, gathered, predictions, chosen.headline)
        result = _finished(gathered[AS_THEY_ARE], predictions, about, subject.folder, pictures, lost)
        if spool and scores:
            spool.write(Path(scores), videos, predictions.errors, about)
        return result


def evaluate_scores(scores: str | Path, *, out: str | Path | None = None, report: bool = True) -> dict[str, Any]:
    """Compute everything anew from a file that `evaluate` wrote with `scores`, and return what eval.json holds.

    Args:
        scores: the file.
        out: folder that eval.json is written to; by default one beside the file, with its name but for the suffix.
        report: as for `evaluate`; the scores do not say where the videos are, so that the page shows none.

    Raises:
        RunError: the file cannot be used, or the folder not written.
    """
    file = ScoreFile.open(Path(scores))
    folder = Path(out) if out else file.path.with_suffix("")
    require_folder(folder)
    evaluator = file.evaluator(plugin_metrics())
    predictions = evaluator.predictions(file.videos)
    return _finished(evaluator, predictions, file.about, folder, _Pictures(folder) if report else None)


def _subject(model: str | Path | VideoClassifier, weights: str, out: str | Path | None) -> _Subject:
    home = None if isinstance(model, VideoClassifier) or weights != "auto" else locate(model)
    classifier = model if isinstance(model, VideoClassifier) else load_to_answer(home or model, weights)
    folder = Path(out) if out else _home_of_results(model, home)
    if folder is not None:
        require_folder(folder)
    return _Subject(home, classifier, folder)


def _evaluated(
    classifier: VideoClassifier,
    data: str | Path,
    data_format: str | None,
    classes: str | None,
    split: EvalSplit,
    splits: str | Path | None,
    map_labels: str | Path | None,
    home: Path | None,
    track: Track[Any],
) -> _Evaluated:
    """The data, with frame counts, and the videos of it that are evaluated.

    Classes are told to fit at once, and get the model's names last: split files have those of the data.
    """
    known = classifier.labels
    table = None if map_labels is None else read_label_map(map_labels)
    manifest = read_data(data, data_format, classes)
    matched = match_classes(manifest, known, table, where=f"--map-labels {map_labels}", narrowed=classes is not None)
    manifest = probed(manifest, classifier.input, track)
    files = _splits_folder(splits, home) if splits or split != "all" else None
    manifest, videos = part_of(manifest, split, files, allow_leak=splits is None)  # a leak of the run's own is known
    manifest = group_by(manifest)  # for the intervals: split files do not always name the sources
    manifest, videos, left_out = relabelled(manifest, videos, known, matched)
    if table is None:
        return _Evaluated(manifest, videos, {})
    used = {name: target for name, target in matched.items() if name not in left_out}
    return _Evaluated(manifest, videos, {"label_map": used, "left_out": left_out})


def protocol_told(
    data: str | Path,
    split: str,
    protocol: Protocol,
    *,
    spec: InputSpec,
    classes: int,
    seen: int | None,
    precision: Precision = "fp32",
) -> dict[str, Any]:
    """What eval.json says of how it was made.

    Args:
        data: folder or file.
        split: part of it.
        protocol: that was asked for.
        spec: the model's input.
        classes: that the model knows.
        seen: videos that the model's run has seen in training; None where that is not known.
        precision: that the network computed in.
    """
    how = protocol.describe(spec, classes)
    return {"data": data_name(data), "split": split, "seen": seen, "precision": precision, **how}


def _about(
    subject: _Subject, evaluated: _Evaluated, protocol: Protocol, data: str | Path, split: str, precision: Precision
) -> dict[str, Any]:
    """What was evaluated, and how; every process has to call this."""
    model, home = subject.classifier, subject.home
    seen = distributed.from_first(lambda: _seen(home, evaluated))
    spec, classes = model.input, len(model.labels)
    return {
        "model": model.id,
        "protocol": protocol_told(data, split, protocol, spec=spec, classes=classes, seen=seen, precision=precision),
        "identity": distributed.from_first(lambda: _identity(home, evaluated, data)),
        "versions": library_versions(),
        **evaluated.mapping,
    }


def _seen(home: Path | None, evaluated: _Evaluated) -> int | None:
    return None if home is None else count_seen(home, evaluated.manifest, evaluated.videos)


def _identity(home: Path | None, evaluated: _Evaluated, data: str | Path) -> dict[str, str | None]:
    """What is needed to know the weights, the videos and the data again."""
    manifest, videos = evaluated.manifest, evaluated.videos
    labels = (manifest.classes[label] for label in manifest.labels[videos].tolist())
    digest = videos_digest(zip(manifest.names.take(videos), labels, strict=True))
    return identity(None if home is None else home / WEIGHTS_FILE, digest, data)


def _finished(
    evaluator: VideoEvaluator,
    predictions: Predictions,
    about: Mapping[str, Any],
    folder: Path | None,
    pictures: _Pictures | None,
    lost: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """All figures; they are written where there is a folder."""
    report = evaluator.compute()
    result = {**report.to_dict(**about), **analyse(predictions, report)}
    if lost:
        result["corruptions"] = list(lost)
    if folder is not None:
        distributed.from_first(lambda: _write(folder, result, predictions, pictures))
    return result


def _write(folder: Path, result: Mapping[str, Any], predictions: Predictions, pictures: _Pictures | None) -> None:
    """eval.json and what lies beside it; it comes last, so that the rest is there where it is, but for a run's card."""
    predictions.write_csv(folder / PREDICTIONS_FILE)
    if pictures is None:
        remove_pictures(folder)
    else:
        write_pictures(folder, result, predictions, history=_history_of(pictures.run), footage=pictures.footage)
    write_json(folder / EVAL_FILE, result)
    refresh_run_card(folder)


def _history_of(run: Path | None) -> Sequence[EpochRecord]:
    """The epochs of a run; none where the folder is not one, or its history cannot be read."""
    if run is None or not (run / HISTORY).is_file():
        return ()
    try:
        return read_history(run / HISTORY)
    except RunError as error:
        _log.warning("the report has no curves: %s", error)
        return ()


def _places(videos: IntArray, length: int) -> IntArray:
    """The place of each video of a manifest among those chosen, int64[length]; -1 where it is not."""
    places = np.full(length, -1, dtype=np.int64)
    places[videos] = np.arange(len(videos))
    return places


def _home_of_results(model: str | Path | VideoClassifier, home: Path | None) -> Path | None:
    """The model's own folder; for one of the Hub or the index, whose folder is nobody's to write, one below runs/."""
    if home is None or isinstance(model, VideoClassifier) or is_path(model) or (home / RUN_FILE).is_file():
        return home
    name = str(model).translate(str.maketrans(":/@", "---"))
    return Path("runs") / (name if str(model).startswith(PREFIX) else f"{name}-eval")


def _splits_folder(splits: str | Path | None, home: Path | None) -> Path | None:
    """Split files asked for, or the run's own."""
    if splits is not None:
        return Path(splits)
    own = home / "splits" if home is not None else None
    return own if own is not None and own.is_dir() else None
