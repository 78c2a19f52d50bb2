"""The packets of a video file: what can be known of its frames without decoding."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import av

from actrec_zoo.data.frames import MOST_PIXELS
from actrec_zoo.errors import DataError, first_line

ONE_FRAME_A_PACKET = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg"})
_WITHOUT_TIMES = frozenset({"avi"})
"""Containers that store no times of frames; those that the demuxer makes up are other ones after a seek."""


class Packet(NamedTuple):
    """A packet that is one frame.

    Attributes:
        time: when the frame is shown, in units of the stream's time base; None where the file does not say.
        is_key: whether decoding can begin here.
        position: in the file, in bytes; None where the container does not say.
    """

    time: int | None
    is_key: bool
    position: int | None


def open_video(path: Path) -> av.container.InputContainer:
    """Open a file; a name like `http:v.mp4` is a name, not an address.

    Raises:
        DataError: it is no regular file: a pipe would be waited for without end.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"cannot read {path}: it is no regular file")
    return av.open(str(path.absolute()))


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first video stream, decoded in one thread.

    Videos are decoded side by side as it is. Threads of a decoder do not survive a fork: a worker process that
    clears away a decoder of its parent would wait for them for ever.

    Raises:
        DataError: there is none, it cannot be decoded, or its frames have more than `MOST_PIXELS`.
    """
    if not container.streams.video:
        raise DataError(f"{path} has no video stream")
    stream = container.streams.video[0]
    codec = stream.codec_context
    if codec is None:
        raise DataError(f"{path} has a video codec that cannot be decoded")
    if codec.width * codec.height > MOST_PIXELS:
        raise DataError(f"cannot decode {path}: {codec.width} x {codec.height} pixels are too many")
    codec.options = {"max_pixels": str(MOST_PIXELS)}
    codec.thread_count = 1
    return stream


def one_frame_packets(path: Path) -> list[Packet] | None:
    """The packets of a file in which each is exactly one frame of a plain decode, in the order of decoding.

    None where that does not hold: other codecs (MPEG-4 part 2 with its packed and skipped frames, VP8 with its
    invisible ones), and files cut in the middle of a group of pictures, whose first frames the decoder drops.

    Raises:
        DataError: the file cannot be opened.
    """
    with open_video(path) as container:
        stream = video_stream(container, path)
        if stream.codec_context.codec.canonical_name not in ONE_FRAME_A_PACKET:
            return None
        shown = (packet for packet in container.demux(stream) if packet.size and not packet.is_discard)
        timed = container.format.name not in _WITHOUT_TIMES
        packets = [Packet(packet.pts if timed else None, packet.is_keyframe, packet.pos) for packet in shown]
    return packets if _begins_clean(packets) else None


def count_video_frames(path: Path) -> int:
    """Exact number of frames of a video file. Container headers are not asked: most are off by one or two.

    Raises:
        DataError: the file cannot be opened or decoded.
    """
    try:
        packets = one_frame_packets(path)
        if packets is not None:
            return len(packets)
        with open_video(path) as container:
            return sum(1 for _ in container.decode(video_stream(container, path)))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {first_line(error)}") from error


def decode_marked(
    container: av.container.InputContainer, stream: av.VideoStream, needed: Callable[[int | None], bool]
) -> Iterator[av.VideoFrame]:
    """Decode from where the container stands; `opaque` of a key frame is its `Packet`.

    The position of its packet tells a key frame from all others even where times are missing or wrong.

    Args:
        container: to read.
        stream: to decode.
        needed: whether the frame with this time is of use in itself; one that is not, and that no other frame is
            decoded from, is left out.
    """
    codec = stream.codec_context
    codec.copy_opaque = True
    for packet in container.demux(stream):
        if packet.is_keyframe and packet.pos is not None:
            packet.opaque = Packet(packet.dts if packet.pts is None else packet.pts, True, packet.pos)
        codec.skip_frame = "DEFAULT" if packet.is_keyframe or needed(packet.pts) else "NONREF"
        yield from codec.decode(packet if packet.size else None)


def _begins_clean(packets: list[Packet]) -> bool:
    """Whether decoding begins at a key frame and nothing is shown before it."""
    if not packets:
        return True
    first = packets[0]
    return first.is_key and all(p.time is None or first.time is None or p.time >= first.time for p in packets)
