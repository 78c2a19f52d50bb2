from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from actrec_zoo.data.dataset import ClipDataset
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.manifest import Manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.sampling import ClipSampler
from actrec_zoo.data.spans import cut_to_spans, frame_times
from actrec_zoo.data.transforms import ClipTransform
from actrec_zoo.errors import DataError
from actrec_zoo.spec import InputSpec
from tests.conftest import Frames, numbered_frames, write_frames, write_video


def cut(folder: Path, rows: str, columns: str = "start_frame,end_frame") -> Manifest:
    (folder / "manifest.csv").write_text(f"path,label,{columns}\n{rows}")
    return cut_to_spans(probe(read_manifest(folder)))


def write_variable(path: Path, frames: Frames, times: list[int]) -> Path:
    """A video whose frames are shown at these hundredths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def seen(manifest: Manifest, index: int) -> list[int]:
    """Numbers of the frames that blocks of one frame find in an entry."""
    spec = InputSpec(frames=1, size=32)
    clips = ClipDataset(manifest, np.array([index]), ClipSampler.for_evaluation(spec), ClipTransform(spec))
    return [round(float(clips.clip(i, 0).frames.float().mean()) / 8) for i in range(len(clips))]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_clips_stay_inside_the_frames_of_a_part(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        write_frames(tmp_path / "v", numbered_frames(20))
    else:
        write_video(tmp_path / "v.mp4", numbered_frames(20)).rename(tmp_path / "v")
    manifest = cut(tmp_path, "v,run,3,7\nv,jump,15,\nv,walk,18,99\n")
    assert manifest.frames.tolist() == [4, 5, 2]
    assert [seen(manifest, i) for i in range(3)] == [[3, 4, 5, 6], [15, 16, 17, 18, 19], [18, 19]]


def test_seconds_are_found_by_time_stamps_at_a_variable_rate(tmp_path: Path) -> None:
    times = [0, 10, 20, 100, 110, 300, 310, 320]
    video = write_variable(tmp_path / "v.mkv", numbered_frames(8), times)
    assert np.allclose(frame_times(video, 8), np.array(times) / 100)
    manifest = cut(tmp_path, "v.mkv,run,0.1,1.0\nv.mkv,jump,1,\nv.mkv,walk,0,2.5\n", "start,end")
    assert [seen(manifest, i) for i in range(3)] == [[1, 2], [3, 4, 5, 6, 7], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize(("name", "codec"), [("v.avi", "mpeg4"), ("v.mpg", "mpeg2video"), ("v.mp4", "libx264")])
def test_seconds_at_a_constant_rate(tmp_path: Path, name: str, codec: str) -> None:
    write_video(tmp_path / name, numbered_frames(25), codec, {"bf": "2"})
    manifest = cut(tmp_path, f"{name},run,0.2,0.4\n", "start,end")
    assert (manifest.offsets.tolist(), manifest.frames.tolist()) == ([5], [5])


def test_a_part_behind_the_end_cannot_be_read_and_says_why(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", numbered_frames(5))
    manifest = cut(tmp_path, "v,run,5,9\nv,run,0,5\n")
    assert manifest.frames.tolist() == [0, 5]
    assert manifest.errors == {0: f"{tmp_path / 'v'} has no frame in frames=5-9: it has 5 frames"}


def test_seconds_of_a_folder_of_frames_cannot_be_read(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", numbered_frames(5))
    manifest = cut(tmp_path, "v,run,0,1\n", "start,end")
    assert manifest.frames.tolist() == [0] and "give start_frame and end_frame" in manifest.errors[0]


def test_the_frames_of_seconds_are_remembered(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", numbered_frames(25))
    manifest = probe(read_manifest_of_seconds(tmp_path))
    cut_to_spans(manifest, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    assert file.read_text().split() == ["{", '"0":', "[", "5,", "10", "]", "}"]
    file.write_text('{"0": [7, 9]}')
    assert cut_to_spans(manifest, cache=tmp_path / "cache").offsets.tolist() == [7]
    file.write_text("[")
    assert cut_to_spans(manifest, cache=tmp_path / "cache").offsets.tolist() == [5]


def read_manifest_of_seconds(folder: Path) -> Manifest:
    (folder / "manifest.csv").write_text("path,label,start,end\nv.mp4,run,0.2,0.4\n")
    return read_manifest(folder)


def test_an_unreadable_file_has_no_times(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"cannot read .*v\.mp4"):
        frame_times(tmp_path / "v.mp4", 3)


def test_remembered_seconds_are_not_taken_for_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", numbered_frames(25))
    found = []
    for second in ("2,4,,", ",,2,4"):
        rows = f"v.mp4,run,0.2,0.4,,\nv.mp4,jump,{second}\n"
        (tmp_path / "manifest.csv").write_text(f"path,label,start,end,start_frame,end_frame\n{rows}")
        found.append(cut_to_spans(probe(read_manifest(tmp_path)), cache=tmp_path / "cache").offsets.tolist())
    assert found == [[5, 0], [5, 2]]
