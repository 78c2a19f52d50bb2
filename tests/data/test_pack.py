"""A pack gives the same clips as the data it was made from."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from actrec_zoo.data.dataset import ClipDataset
from actrec_zoo.data.decode import count_frames, open_source
from actrec_zoo.data.headers import Header, read_header
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import PACK_HEADER, Manifest
from actrec_zoo.data.pack import PackedVideo
from actrec_zoo.data.packing import Encoding, write_pack
from actrec_zoo.data.probe import probe
from actrec_zoo.data.rates import with_rates
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.spans import cut_to_spans
from actrec_zoo.data.transforms import ClipTransform, Resize
from actrec_zoo.errors import DataError, RunError
from actrec_zoo.spec import InputSpec
from tests.conftest import moving_square, write_frames, write_video


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame folders and videos, of two sizes, with groups; and one video that cannot be opened, one that breaks off."""
    root = tmp_path_factory.mktemp("data")
    for number in range(4):
        write_frames(root / "left" / f"clip{number}", moving_square(11, step=-2, start=number, side=48))
        write_video(root / "right" / f"clip {number}.mp4", moving_square(300, step=2, start=number, side=32))
    (root / "right" / "none.mp4").write_bytes(b"no video")
    broken = write_frames(root / "left" / "broken", moving_square(140, step=1)) / "135.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    rows = [f"{label}/{path.name},{label},g{path.name[-5]}" for label in ("right", "left") for path in
            sorted((root / label).iterdir())]  # fmt: skip
    (root / "manifest.csv").write_text("path,label,group\n" + "\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def manifest(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return probe(read_manifest(data), cache=tmp_path_factory.mktemp("cache"))


def clips(manifest: Manifest, spec: InputSpec) -> ClipDataset:
    readable = np.array([i for i in range(len(manifest)) if "broken" not in manifest.paths[i]])
    return ClipDataset(manifest, readable, ClipSampler("blocks", spec.frames), ClipTransform(spec), seed=0)


@pytest.mark.parametrize(
    ("sides", "spec"),
    [
        ([24, 24], InputSpec(frames=4, size=24)),
        ([20, 30], InputSpec(frames=4, size=16, resize=(20, 30))),
        ([28], InputSpec(frames=4, size=24, resize=28)),
    ],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_raw_pack_gives_the_same_clips(
    manifest: Manifest, tmp_path: Path, sides: list[int], spec: InputSpec, workers: int
) -> None:
    write_pack(manifest, tmp_path / "pack", Resize(sides), "raw", workers=workers)
    packed = probe(read_manifest(tmp_path / "pack"))
    ours, theirs = clips(packed, spec), clips(manifest, spec)
    assert len(ours) == len(theirs) > 250
    for index in [*range(0, len(ours), 7), len(ours) - 1]:
        one, other = ours.clip(index, 0), theirs.clip(index, 0)
        assert torch.equal(one.frames, other.frames)
        assert one[1:] == other[1:]


def test_a_jpeg_pack_gives_nearly_the_same_clips(manifest: Manifest, tmp_path: Path) -> None:
    write_pack(manifest, tmp_path / "pack", Resize([24, 24]), "jpeg")
    spec = InputSpec(frames=4, size=24)
    ours, theirs = clips(probe(read_manifest(tmp_path / "pack")), spec), clips(manifest, spec)
    for index in range(0, len(ours), 7):
        one, other = ours.clip(index, 0), theirs.clip(index, 0)
        assert (one.frames.float() - other.frames).abs().mean() < 6
        assert one[1:] == other[1:]


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_a_pack_lists_what_the_data_lists(manifest: Manifest, tmp_path: Path, encoding: Encoding) -> None:
    errors = write_pack(manifest, tmp_path / "pack", Resize([16]), encoding)
    packed = probe(read_manifest(tmp_path / "pack"))
    assert [packed.entry(i) for i in range(len(packed))] == [manifest.entry(i) for i in range(len(manifest))]
    failed = {packed.paths[i] for i in packed.errors}
    assert failed == {"right/none.mp4", "left/broken"} == {manifest.paths[i] for i in errors}
    expected = [0 if manifest.paths[i] in failed else n for i, n in enumerate(manifest.frames.tolist())]
    assert packed.frames.tolist() == expected
    assert "135.jpg" in packed.errors[packed.paths[:].index("left/broken")]


def test_a_packed_video_is_opened_by_its_path(manifest: Manifest, tmp_path: Path) -> None:
    write_pack(manifest, tmp_path / "pack", Resize([16]), "raw")
    path = tmp_path / "pack" / "left" / "clip2"
    assert count_frames(path) == 11
    assert open_source(path).read(np.array([3, 3, 10])).shape == (3, 3, 16, 16)
    with pytest.raises(DataError, match="11 frames, no frame 11"):
        open_source(path).read(np.array([11]))
    with pytest.raises(DataError, match=r"there is no video .*other"):
        open_source(tmp_path / "pack" / "left" / "other")


def test_a_data_set_that_reads_a_pack_can_be_pickled(manifest: Manifest, tmp_path: Path) -> None:
    write_pack(manifest, tmp_path / "pack", Resize([24]), "raw")
    dataset = clips(probe(read_manifest(tmp_path / "pack")), InputSpec(frames=4, size=24))
    clip = dataset.clip(5, 0)
    content = pickle.dumps(dataset)
    assert len(content) < 100_000
    assert torch.equal(pickle.loads(content).clip(5, 0).frames, clip.frames)


def test_a_pack_made_anew_is_counted_anew(data: Path, manifest: Manifest, tmp_path: Path) -> None:
    write_pack(manifest, tmp_path / "pack", Resize([16]))
    before = probe(read_manifest(tmp_path / "pack"))
    shutil.rmtree(tmp_path / "pack")
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "left" / "clip0" / "11.jpg").unlink()
    write_pack(probe(read_manifest(tmp_path / "data")), tmp_path / "pack", Resize([16]))
    after = probe(read_manifest(tmp_path / "pack"))
    assert (before.frames - after.frames).sum() == 1


def test_a_pack_does_not_overwrite(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    with pytest.raises(RunError, match="exists already"):
        write_pack(manifest, tmp_path / "pack", Resize([16]))


def test_a_full_disk_leaves_nothing(manifest: Manifest, small_disk: Path) -> None:
    with pytest.raises(RunError, match=r"cannot write .*pack.*Free some space"):
        write_pack(manifest, small_disk / "pack", Resize([32]), "raw")
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("damage", ["short", "later", "no header key", "no index", "no frames", "index", "ends"])
def test_a_damaged_pack_is_named(manifest: Manifest, tmp_path: Path, damage: str) -> None:
    pack = tmp_path / "pack"
    write_pack(manifest, pack, Resize([16]), "jpeg")
    header = json.loads((pack / "pack.json").read_text())
    if damage == "short":
        (pack / "frames.bin").write_bytes((pack / "frames.bin").read_bytes()[:-1])
    elif damage == "later":
        (pack / "pack.json").write_text(json.dumps(header | {"format": 2}))
    elif damage == "no header key":
        (pack / "pack.json").write_text("{}")
    elif damage in ("index", "ends"):
        file = next(pack.glob(f"{damage}.np*"))
        file.write_bytes(file.read_bytes()[:40])
    else:
        (pack / {"no index": "index.npz", "no frames": "frames.bin"}[damage]).unlink()
    with pytest.raises(DataError, match=f"{pack}.*ack the data again"):
        open_source(pack / "left" / "clip0")
    assert "ack the data again" in probe(read_manifest(pack)).errors[0]


def test_damaged_frames_are_named(manifest: Manifest, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    write_pack(manifest, pack, Resize([16]), "jpeg")
    (pack / "frames.bin").write_bytes(bytes((pack / "frames.bin").stat().st_size))
    with pytest.raises(DataError, match=f"cannot decode {pack}/left/clip0"):
        open_source(pack / "left" / "clip0").read(np.array([0]))


def test_every_frame_of_a_video_has_the_size_of_its_first(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "data" / "c" / "v", moving_square(130, step=1, side=64))
    for number in (129, 130):
        Image.fromarray(moving_square(1, step=1, side=32)[0, :, :16]).save(folder / f"{number}.jpg")
    manifest = probe(read_manifest(tmp_path / "data"))
    errors = write_pack(manifest, tmp_path / "pack", Resize([16]))
    assert list(errors) == [0] and "size" in errors[0]
    assert write_pack(manifest, tmp_path / "square", Resize([16, 16])) == {}


def test_videos_from_outside_of_the_data_folder_are_packed_too(data: Path, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    write_frames(tmp_path / "v", moving_square(9, step=1))
    rows = f"path,label\n{data}/left/clip0,left\n../v,right\n"
    (tmp_path / "lists" / "all.csv").write_text(rows)
    write_pack(probe(read_manifest(tmp_path / "lists" / "all.csv")), tmp_path / "lists" / "pack", Resize([16]))
    packed = probe(read_manifest(tmp_path / "lists" / "pack"))
    assert packed.paths[1] == "v" and packed.frames.tolist() == [11, 9]
    assert [open_source(packed.path(i)).read(np.array([0])).shape[-1] for i in range(2)] == [16, 16]


def test_a_pack_keeps_parts_splits_and_rates(tmp_path: Path) -> None:
    write_video(tmp_path / "data" / "a.mp4", moving_square(60, step=1))
    write_frames(tmp_path / "data" / "b", moving_square(8, step=1))
    table = tmp_path / "data" / "manifest.csv"
    table.write_text("path,label,split,start,end\na.mp4,run,train,0.4,0.8\na.mp4,jump,test,1.2,\nb,jump,val,,\n")
    source = with_rates(cut_to_spans(probe(read_manifest(table))))
    write_pack(source, tmp_path / "pack", Resize([24]), "raw")
    packed = with_rates(cut_to_spans(probe(read_manifest(tmp_path / "pack"))))
    for name in ("labels", "frames", "rates", "groups", "stated_splits", "classes"):
        assert np.array_equal(getattr(packed, name), getattr(source, name)), name
    assert list(packed.paths) == list(source.names)
    spec = InputSpec(frames=4, size=24, resize=24, fps=10)
    pairs = [
        ClipDataset(data, np.arange(3), ClipSampler("blocks", 4, fps=10), ClipTransform(spec))
        for data in (source, packed)
    ]
    assert len(pairs[0]) == len(pairs[1]) > 2
    for index in range(len(pairs[0])):
        assert torch.equal(pairs[0].clip(index, 0).frames, pairs[1].clip(index, 0).frames)


def test_a_packed_video_has_a_header(tmp_path: Path) -> None:
    write_video(tmp_path / "data" / "run" / "a.mp4", moving_square(6, step=1, side=48))
    write_pack(with_rates(probe(read_manifest(tmp_path / "data"))), tmp_path / "pack", Resize([20, 30]))
    assert read_header(tmp_path / "pack" / "run" / "a.mp4") == Header(30, 20, 25.0)
    assert read_header(tmp_path / "data" / "run" / "a.mp4") == Header(48, 48, 25.0)
    assert read_header(tmp_path / "pack" / "run" / "b.mp4") is None


def test_videos_that_would_get_one_name_are_refused(tmp_path: Path) -> None:
    for place in ("a", "sub/a"):
        write_video(tmp_path / place / "x.mp4", moving_square(6, step=1))
    table = tmp_path / "sub" / "data.csv"
    table.write_text("path,label\na/x.mp4,run\n../a/x.mp4,jump\n")
    with pytest.raises(DataError, match=r"two videos would be a/x\.mp4 in the pack, one of them \.\./a/x\.mp4"):
        write_pack(probe(read_manifest(table)), tmp_path / "pack", Resize([8]))
    assert not (tmp_path / "pack").exists()


def test_threads_that_want_a_pack_at_once_open_it_once(manifest: Manifest, tmp_path: Path) -> None:
    """Headers of arrays that are read at once disturb each other: Python's parser is not safe there in 3.11."""
    write_pack(manifest, tmp_path / "pack", Resize([8]), "raw")
    video = tmp_path / "pack" / "left" / "clip0"
    for attempt in range(20):
        os.utime(tmp_path / "pack" / PACK_HEADER, ns=(attempt, attempt))  # as packed anew: it is opened again
        start = threading.Barrier(8)

        def opened(_: int, start: threading.Barrier = start) -> object:
            start.wait()
            source = open_source(video)
            assert isinstance(source, PackedVideo)
            return source._pack

        with ThreadPoolExecutor(8) as pool:
            packs = list(pool.map(opened, range(8)))
        assert len(set(map(id, packs))) == 1
