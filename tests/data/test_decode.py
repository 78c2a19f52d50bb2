import importlib.util
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from actrec_zoo.data.decode import DECODER_VARIABLE, Source, count_frames, open_source, video_reader
from actrec_zoo.data.images import FrameFolder, read_image
from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.video import VideoFile
from actrec_zoo.errors import ConfigError, DataError
from tests.conftest import moving_square, numbered_frames, write_frames, write_video

SOURCES = {
    "jpg": lambda path, frames: write_frames(path, frames),
    "png": lambda path, frames: write_frames(path, frames, ".png"),
    "h264": lambda path, frames: write_video(path / "v.mp4", frames, options={"bf": "3", "g": "8", "crf": "10"}),
    "mpeg4": lambda path, frames: write_video(path / "v.avi", frames, "mpeg4", {"bf": "2", "b": "4M"}),
}


def numbers_seen(frames: Tensor) -> list[int]:
    """What `numbered_frames` wrote into the pixels."""
    return (frames.float().mean(dim=(1, 2, 3)) / 8).round().int().tolist()


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    path = tmp_path_factory.mktemp("source") / request.param
    return open_source(SOURCES[request.param](path, numbered_frames(30)))


@pytest.mark.parametrize(
    "asked",
    [[0], [29], [3, 4, 5, 6], [0, 7, 14, 21, 28], [20, 21, 2, 3], [9, 8, 7], [5, 5, 5], [28, 29, 29, 29], range(30)],
    ids=str,
)
def test_frames_come_by_number_in_the_order_asked_for(source: Source, asked: list[int]) -> None:
    frames = source.read(np.array(asked))
    assert numbers_seen(frames) == list(asked)
    assert frames.shape == (len(asked), 3, 32, 32)
    assert frames.dtype == torch.uint8


def test_requests_forwards_and_backwards_on_one_source(source: Source) -> None:
    for asked in ([2, 3], [4, 9], [9, 10], [1, 2], [29], [0]):
        assert numbers_seen(source.read(np.array(asked))) == asked


def test_a_frame_after_the_last_is_an_error(source: Source) -> None:
    with pytest.raises(DataError, match=r"30 frames.* frame 30"):
        source.read(np.array([29, 30]))


def test_channels_are_red_green_blue(tmp_path: Path) -> None:
    red = np.zeros((8, 32, 32, 3), np.uint8)
    red[..., 0] = 250
    for name in ("png", "h264"):
        colour = open_source(SOURCES[name](tmp_path / name, red)).read(np.array([4])).float().mean(dim=(0, 2, 3))
        assert colour.tolist() == pytest.approx([250, 0, 0], abs=12)


def test_png_pixels_are_exact(tmp_path: Path) -> None:
    frames = moving_square(3, step=5)
    read = FrameFolder(write_frames(tmp_path / "v", frames, ".png")).read(np.arange(3))
    assert torch.equal(read, torch.from_numpy(frames).permute(0, 3, 1, 2))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_every_image_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.full((16, 20, 3), 255, np.uint8)).convert(mode)
    grey.save(tmp_path / ("1.jpg" if mode == "CMYK" else "1.png"))
    frames = FrameFolder(tmp_path).read(np.array([0]))
    assert frames.shape == (1, 3, 16, 20)
    assert frames.float().mean() > 250


def test_greyscale_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), 77, np.uint8)).save(tmp_path / "1.jpg")
    assert FrameFolder(tmp_path).read(np.array([0, 0])).unique().tolist() == [77]


def test_frames_of_another_size_are_resized_to_the_first(tmp_path: Path) -> None:
    for number, (side, value) in enumerate([(32, 50), (16, 100), (48, 150)], start=1):
        Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(tmp_path / f"{number}.png")
    frames = FrameFolder(tmp_path).read(np.array([0, 1, 2]))
    assert frames.shape == (3, 3, 32, 32)
    assert frames.float().mean(dim=(1, 2, 3)).tolist() == [50, 100, 150]


def test_video_that_changes_its_size_is_resized_to_the_first(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{side}.ts", moving_square(6, step=1, side=side)) for side in (32, 64)]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert VideoFile(tmp_path / "both.ts").read(np.array([1, 10])).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("keep", [0, 20, 400])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated_image_is_named(tmp_path: Path, suffix: str, keep: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    folder = write_frames(tmp_path / "v", noise, suffix)
    bad = folder / f"2{suffix}"
    bad.write_bytes(bad.read_bytes()[:keep])
    source = FrameFolder(folder)
    with pytest.raises(DataError, match=f"cannot decode {bad}: ."):
        source.read(np.arange(3))
    assert len(source.read(np.array([0, 2]))) == 2


def test_unwritten_images_are_caught_wherever_they_break(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    random = np.random.default_rng(1)
    for suffix in (".jpg", ".png"):
        file = write_frames(tmp_path / suffix[1:], noise, suffix) / f"1{suffix}"
        whole = file.read_bytes()
        for _ in range(100):
            broken = bytearray(whole)
            broken[random.integers(len(whole))] = random.integers(256)
            file.write_bytes(broken)
            try:
                FrameFolder(file.parent).read(np.array([0]))
            except DataError as error:
                assert str(file) in str(error)


@pytest.mark.parametrize("name", ["v.mp4", "v.avi"])
def test_truncated_video_is_named(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    video = write_video(tmp_path / name, noise, "libx264" if name == "v.mp4" else "mpeg4")
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(DataError, match=str(video)):
        open_source(video).read(np.arange(20))


def test_corrupt_stream_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    video = write_video(tmp_path / "v.mp4", noise)
    content = bytearray(video.read_bytes())
    middle = len(content) // 2
    content[middle - 4000 : middle + 4000] = bytes(8000)
    video.write_bytes(content)
    with pytest.raises(DataError, match=f"cannot decode {video} at frame [0-9]+: ."):
        VideoFile(video).read(np.arange(20))


def test_no_random_damage_to_a_video_escapes_as_another_error(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", moving_square(12, step=2))
    whole, random = video.read_bytes(), np.random.default_rng(0)
    failed = 0
    for _ in range(60):
        broken = bytearray(whole)
        for place in random.integers(0, len(whole), 30):
            broken[place] = random.integers(256)
        video.write_bytes(broken)
        try:
            VideoFile(video).read(np.arange(12))
        except DataError as error:
            failed += 1
            assert str(video) in str(error)
    assert failed > 30


def test_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_text("no video")
    with pytest.raises(DataError, match=f"cannot decode {tmp_path / 'v.mp4'}"):
        open_source(tmp_path / "v.mp4").read(np.array([0]))


def test_path_without_anything_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no video .*gone\.mp4"):
        open_source(tmp_path / "gone.mp4")


def test_sound_without_a_picture_is_an_error(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "v.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    for use in (count_frames, lambda path: open_source(path).read(np.array([0]))):
        with pytest.raises(DataError, match=r"v\.mp4 has no video stream"):
            use(tmp_path / "v.mp4")


@pytest.mark.parametrize(
    ("least", "shape"),
    [(None, (48, 61)), ((25, 1), (48, 61)), ((24, 30), (24, 30)), ((6, 7), (6, 7)), ((1, 1), (6, 7))],
)
def test_a_jpeg_is_shrunk_to_no_less_than_what_is_needed(
    tmp_path: Path, least: tuple[int, int] | None, shape: tuple[int, int]
) -> None:
    ramp = np.linspace(0, 255, 61).astype(np.uint8)
    folder = write_frames(tmp_path / "v", np.broadcast_to(ramp[:, None], (1, 48, 61, 3)))
    frame, whole = (open_source(folder, size).read(np.array([0])) for size in (least, None))
    assert frame.shape[-2:] == shape
    averaged = torch.nn.functional.avg_pool2d(whole.float(), 48 // shape[0])
    assert (frame - averaged).abs().max() <= 3


def test_a_jpeg_at_full_size_has_the_pixels_of_pillow(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 33, 47, 3), dtype=np.uint8)
    for subsampling in range(3):
        Image.fromarray(noise[0]).save(tmp_path / "1.jpg", quality=80, subsampling=subsampling)
        expected = np.array(Image.open(tmp_path / "1.jpg").convert("RGB"))
        assert torch.equal(FrameFolder(tmp_path).read(np.array([0]))[0], torch.from_numpy(expected).permute(2, 0, 1))


@pytest.mark.parametrize("size", [(64, 80), (65, 81)])
@pytest.mark.parametrize("least", [None, (30, 30), (8, 8)])
def test_frames_of_a_clip_are_those_of_the_images_alone(
    tmp_path: Path, size: tuple[int, int], least: tuple[int, int] | None
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, *size, 3), np.uint8)
    folder = write_frames(tmp_path / "v", frames)
    clip = FrameFolder(folder, least).read(np.array([3, 0, 4, 0, 1]))
    alone = [read_image(sorted(folder.iterdir())[number], least) for number in (3, 0, 4, 0, 1)]
    assert torch.equal(clip, torch.from_numpy(np.stack(alone)).permute(0, 3, 1, 2))


def test_videos_are_decoded_by_pyav_unless_the_variable_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", "pyav"):
        monkeypatch.delenv(DECODER_VARIABLE, raising=False)
        if value is not None:
            monkeypatch.setenv(DECODER_VARIABLE, value)
        assert video_reader() is VideoFile


def test_a_decoder_that_does_not_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DECODER_VARIABLE, "torchcodecs")
    with pytest.raises(ConfigError, match=r"ACTREC_ZOO_DECODER is 'torchcodecs'.* Did you mean torchcodec\?"):
        open_source(write_video(tmp_path / "v.mp4", numbered_frames(3)))


@pytest.mark.skipif(importlib.util.find_spec("torchcodec") is not None, reason="torchcodec is installed")
def test_a_decoder_that_is_not_installed_is_told_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(DECODER_VARIABLE, "torchcodec")
    write_video(tmp_path / "data" / "a" / "v.mp4", numbered_frames(3))
    with pytest.raises(ConfigError, match=r"pip install 'actrec-zoo\[torchcodec\]'"):
        probe(read_manifest(tmp_path / "data"), cache=tmp_path / "cache")
