"""What is damaged and read: small files that are right, and what reads them."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from PIL import Image

from actrec_zoo.data.checking.decoding import shortfall
from actrec_zoo.data.classes import read_classes
from actrec_zoo.data.decode import count_frames, open_source
from actrec_zoo.data.extraction import extract_frames
from actrec_zoo.data.headers import Header, read_header
from actrec_zoo.data.images import read_image
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Manifest
from actrec_zoo.data.packing import write_pack
from actrec_zoo.data.probe import probe
from actrec_zoo.data.spans import cut_to_spans, frame_times
from actrec_zoo.data.splits import read_splits
from actrec_zoo.data.stated import stated_splits
from actrec_zoo.data.transforms import Resize
from actrec_zoo.errors import ActrecZooError, DataError
from tests.conftest import numbered_frames

FRAMES = numbered_frames(12)
_VIDEOS = ("a/one.avi", "a/two.avi", "b/three.avi", "b/four.avi")


class Subject(NamedTuple):
    """A file that is right, and how it is read.

    Attributes:
        file: its name, in a folder that may hold more.
        content: of the file.
        read: takes the path of the file, damaged or not.
        beside: other files of the folder, by name.
        text: whether the content is text.
    """

    file: str
    content: bytes
    read: Callable[[Path], None]
    beside: Mapping[str, bytes] = {}
    text: bool = False


def subjects(scratch: Path) -> dict[str, Subject]:
    """All of them by name; `scratch` is a folder to make them in."""
    return {**_images(), **_videos(scratch), **_packs(scratch), **_annotations(scratch)}


def put(folder: Path, subject: Subject, content: bytes) -> Path:
    """Write the files of a subject into a new folder, one of them with other content."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in {**subject.beside, subject.file: content}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / subject.file


def one_line(error: ActrecZooError) -> None:
    assert str(error).strip() and "\n" not in str(error), f"not one line: {error!r}"


def _tries(*uses: Callable[[], None]) -> None:
    """Each for itself: what one refuses another may read."""
    for use in uses:
        try:
            use()
        except ActrecZooError as error:
            one_line(error)


def _see_image(path: Path) -> None:
    def pixels(least: tuple[int, int] | None) -> None:
        image = read_image(path, least)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size

    _tries(lambda: pixels(None), lambda: pixels((4, 4)), lambda: _header(path.parent))


def _see_video(path: Path) -> None:
    def read(numbers: list[int]) -> None:
        frames = open_source(path).read(np.array(numbers))
        assert frames.dtype == torch.uint8 and frames.shape[:2] == (len(numbers), 3)

    def count() -> None:
        number = count_frames(path)
        assert type(number) is int and number > 0
        _tries(lambda: read([number - 1, 0]), lambda: _times(path, number))

    def extract() -> None:
        done = extract_frames(path, path.parent / "out")
        assert done.written + len(done.failures) == 1

    def missing() -> None:
        assert isinstance(shortfall(path), str)

    _tries(count, lambda: read([0, 5]), lambda: _header(path), missing, extract)


def _times(path: Path, count: int) -> None:
    times = frame_times(path, count)
    assert len(times) == count and np.isfinite(times).all()


def _header(path: Path) -> None:
    header = read_header(path)
    assert header is None or (isinstance(header, Header) and np.isfinite(header.rate))


def _see_pack(path: Path) -> None:
    def read() -> None:
        manifest = read_manifest(path.parent)
        for index in range(min(len(manifest), 5)):
            one = manifest.path(index)
            _tries(lambda one=one: _see_packed(one), lambda one=one: _header(one))

    _tries(read)


def _see_packed(path: Path) -> None:
    number = count_frames(path)
    frames = open_source(path).read(np.array([0, number - 1]))
    assert frames.dtype == torch.uint8 and frames.shape[:2] == (2, 3)


def _see_data(path: Path) -> None:
    """The folder, and the file alone, which need not be a data set of its own."""
    _tries(lambda: _see_manifest(path.parent))
    with contextlib.suppress(DataError):
        _see_manifest(path)


def _see_manifest(data: Path) -> None:
    manifest = read_manifest(data)
    assert isinstance(manifest, Manifest) and len(manifest) and manifest.labels.max() < len(manifest.classes)
    assert all(isinstance(name, str) for name in manifest.names)
    cut_to_spans(probe(manifest, cache=data.parent / "frames"), cache=data.parent / "spans")
    stated_splits(manifest)


def _see_splits(path: Path) -> None:
    manifest = read_manifest(path.parent.parent, layout="folders")
    grouped, splits = read_splits(path.parent, manifest)
    assert len(grouped) == len(manifest) and set(splits) <= {"train", "val", "test"}


def _see_classes(path: Path) -> None:
    classes = read_classes(str(path))
    assert classes and all(isinstance(name, str) and name for name in classes)


def _image(mode: str, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    ramp = np.repeat(np.arange(0, 240, 10, np.uint8)[:, None, None], 32, axis=1).repeat(3, axis=2)
    if mode == "I;16":
        Image.fromarray(ramp[..., 0].astype(np.uint16) * 256).save(file, kind)
    else:
        Image.fromarray(ramp).convert(mode).save(file, kind, **options)
    return file.getvalue()


def _images() -> dict[str, Subject]:
    exif = Image.Exif()
    exif[0x0112] = 6
    made = {
        "jpeg": _image("RGB", "JPEG"),
        "jpeg turned": _image("RGB", "JPEG", exif=exif),
        "jpeg progressive": _image("RGB", "JPEG", progressive=True),
        "jpeg cmyk": _image("CMYK", "JPEG"),
        "png": _image("RGB", "PNG"),
        "png palette": _image("P", "PNG", transparency=bytes(range(24))),
        "png 16 bits": _image("I;16", "PNG"),
    }
    return {name: Subject("1.jpg", content, _see_image) for name, content in made.items()}


def _videos(scratch: Path) -> dict[str, Subject]:
    kinds = {
        "avi mpeg4": ("avi", "mpeg4"),
        "avi mjpeg": ("avi", "mjpeg"),
        "mp4 h264": ("mp4", "libx264"),
        "webm vp8": ("webm", "libvpx"),
        "webm vp9": ("webm", "libvpx-vp9"),
        "gif": ("gif", "gif"),
    }
    formats = {"mjpeg": "yuvj420p", "gif": "rgb8"}
    made = {}
    for name, (container, codec) in kinds.items():
        path = scratch / f"{codec}.{container}"
        _encode(path, codec, formats.get(codec, "yuv420p"))
        made[name] = Subject("v.mp4", path.read_bytes(), _see_video)
    return made


def _encode(path: Path, codec: str, pixels: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "4"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, pixels
        stream.codec_context.thread_count = 1
        for frame in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _small_videos(scratch: Path) -> dict[str, bytes]:
    video = (scratch / "mpeg4.avi").read_bytes()
    return dict.fromkeys(_VIDEOS, video)


def _packs(scratch: Path) -> dict[str, Subject]:
    data = scratch / "data"
    for name, content in _small_videos(scratch).items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(content)
    made = {}
    for encoding in ("jpeg", "raw"):
        pack = scratch / encoding
        write_pack(probe(read_manifest(data), cache=scratch / "cache"), pack, Resize([16]), encoding)
        files = {file.name: file.read_bytes() for file in sorted(pack.iterdir())}
        for file, content in files.items():
            made[f"{encoding} {file}"] = Subject(file, content, _see_pack, files, text=file == "pack.json")
    return made


def _annotations(scratch: Path) -> dict[str, Subject]:
    videos = _small_videos(scratch)
    table = (
        "path,label,group,split,start,end\n"
        "a/one.avi,a,g1,train,0,0.2\na/one.avi,a,g1,train,0.2,\na/two.avi,a,g2,val,,\n"
        "b/three.avi,b,,train,,\nb/four.avi,b,g4,test,0.1,9\n"
    )
    frames = "path\tlabel\tstart_frame\tend_frame\n" + "a/one.avi\ta\t0\t5\na/one.avi\ta\t5\t9\nb/four.avi\tb\t\t\n"
    kinetics = "label,youtube_id,time_start,time_end,split\na,one,0,10,train\nb,four,5,15,validate\n"
    hmdb = {"a_test_split1.txt": "one.avi 1\ntwo.avi 2\n", "b_test_split1.txt": "three.avi 1\nfour.avi 0\n"}
    ucf = {"trainlist01.txt": "a/one.avi 1\nb/three.avi 2\n", "testlist01.txt": "a/two.avi\nb/four.avi\n"}
    something = {
        "labels.json": json.dumps({"Moving thing": "0", "Dropping thing": "1"}),
        "train.json": json.dumps([{"id": "one", "template": "Moving [thing]", "placeholders": ["a"]}]),
        "validation.json": json.dumps([{"id": "three", "template": "Dropping [thing]"}]),
        "test.json": json.dumps([{"id": "four"}]),
        "test-answers.csv": "four;Dropping thing\n",
    }
    lists = {"jester-train.csv": "one;a\nthree;b\n", "jester-val.csv": "two;a\nfour;b\n", "labels.csv": "a\nb\n"}
    numbers = {"train.txt": "a/one.avi 0\nb/three.avi 12 1\n", "val.txt": "a/two.avi 0\n", "classes.txt": "a\nb\n"}
    splits = {
        "s/train.csv": "path,label,group\na/one.avi,a,x\nb/three.avi,b,\n",
        "s/val.csv": "path,label,group\na/two.avi,a,y\n",
    }
    made: dict[str, Subject] = {}
    for layout in ({"manifest.csv": table}, {"manifest.tsv": frames}, {"kinetics.csv": kinetics}, hmdb, ucf):
        made |= _of_layout(layout, _see_data, videos)
    for layout in (something, lists, numbers):
        made |= _of_layout(layout, _see_data, videos)
    made |= _of_layout(splits, _see_splits, videos)
    return made | _of_layout({"my classes.txt": "brush_hair\njump\nrun fast\n"}, _see_classes, {})


def _of_layout(
    layout: Mapping[str, str], read: Callable[[Path], None], videos: Mapping[str, bytes]
) -> dict[str, Subject]:
    files = {name: text.encode() for name, text in layout.items()}
    return {name: Subject(name, content, read, {**videos, **files}, text=True) for name, content in files.items()}
