"""Videos to folders of frames: each folder appears when it is complete, so that an extraction can be continued."""

import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
from av.video.reformatter import VideoReformatter
from PIL import Image

from actrec_zoo.data.layouts.folders import is_video_file
from actrec_zoo.data.layouts.official import walk_videos, without_suffix
from actrec_zoo.data.packets import open_video, video_stream
from actrec_zoo.data.probe import Track, no_progress
from actrec_zoo.data.video import to_rgb
from actrec_zoo.errors import ConfigError, DataError, RunError, first_line
from actrec_zoo.files import require_folder


@dataclass(frozen=True)
class Extraction:
    """What an extraction did: folders written, folders that were there, and errors by video."""

    written: int
    kept: int
    failures: dict[str, str]


def extract_frames(
    videos: Path, out: Path, *, quality: int = 95, size: int | None = None, track: Track[str] = no_progress
) -> Extraction:
    """Write the frames of every video file below a folder as JPEG; the folders above a video are kept.

    `class/clip.mp4` becomes `class/clip/000001.jpg` and so on; where two files differ in their suffix alone, the
    suffix stays. A folder that is there is not written again. One frame of each video at work is in memory.

    Args:
        videos: folder, or one video file.
        out: folder that is made.
        quality: of the JPEG files, 1 to 95.
        size: length of the shorter side in pixels, for videos that are larger.
        track: shows the progress over videos.

    Raises:
        DataError: there are no videos.
        ConfigError: `out` lies in `videos`.
        RunError: `out` cannot be written.
    """
    root, names = _find(videos)
    if out.resolve().is_relative_to(root.resolve()) and videos.is_dir():
        raise ConfigError(
            f"{out} lies in {videos}: the frames would be taken for further videos. Choose another folder"
        )
    require_folder(out)
    shared = Counter(without_suffix(name) for name in names)
    targets = [out / (name if shared[without_suffix(name)] > 1 else without_suffix(name)) for name in names]
    todo = [(root / name, target) for name, target in zip(names, targets, strict=True) if not target.exists()]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        done = pool.map(lambda job: _extract(job[0], job[1], quality, size), todo)
        try:
            errors = list(track(done, len(todo), "Extracting frames"))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    failures = {str(source): error for (source, _), error in zip(todo, errors, strict=True) if error}
    return Extraction(len(todo) - len(failures), len(names) - len(todo), failures)


def _find(videos: Path) -> tuple[Path, list[str]]:
    """The folder that names are relative to, and the video files."""
    if videos.is_file():
        return videos.parent, [videos.name]
    try:
        names = [name for name in walk_videos(videos) if is_video_file(Path(name).name)] if videos.is_dir() else []
    except OSError as error:
        raise DataError(f"cannot read {error.filename or videos}: {error.strerror}") from error
    files = [name for name in names if not (videos / name).is_dir()]
    if not files:
        raise DataError(f"{videos} holds no video files" if videos.is_dir() else f"there is nothing at {videos}")
    return videos, files


def _extract(video: Path, target: Path, quality: int, size: int | None) -> str:
    """Write the frames of one video; the error, or an empty string."""
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        count = _write_frames(video, part, quality, size)
        if count:
            part.rename(target)
        return "" if count else f"{video} holds no frames"
    except DataError as error:
        return str(error)
    except (av.FFmpegError, ValueError) as error:
        return f"cannot decode {video}: {first_line(error)}"
    except OSError as error:
        raise RunError(f"cannot write {target}: {error}. Free some space or choose another folder.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_frames(video: Path, folder: Path, quality: int, size: int | None) -> int:
    number, scaler = 0, VideoReformatter()
    with open_video(video) as container:
        for number, frame in enumerate(container.decode(video_stream(container, video)), start=1):
            image = _smaller(Image.fromarray(to_rgb(frame, scaler)), size)
            image.save(folder / f"{number:06d}.jpg", quality=quality)
    return number


def _smaller(image: Image.Image, size: int | None) -> Image.Image:
    shorter = min(image.size)
    if size is None or shorter <= size:
        return image
    width, height = (round(side * size / shorter) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)
