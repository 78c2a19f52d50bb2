"""Which clips and squares a protocol shows, and what eval.json says of it."""

import pytest

from actrec_zoo.errors import ConfigError
from actrec_zoo.evaluation.protocol import Protocol
from actrec_zoo.spec import InputSpec

SPEC = InputSpec(frames=4, size=32, resize=40, stride=2)


def test_options_make_a_protocol() -> None:
    assert Protocol.of() == Protocol.of("video") == Protocol("video")
    assert Protocol.of("report") == Protocol("report")
    assert Protocol.of(views="10x3") == Protocol.of("views", "10x3") == Protocol("views", 10, 3)


@pytest.mark.parametrize(
    ("name", "views", "message"),
    [
        ("vidoe", None, "unknown --protocol 'vidoe': choose one of video, report, views"),
        ("views", None, "--protocol views needs --views CxS"),
        (None, "10", "--views '10' is not of the form CxS"),
        (None, "0x3", "is not of the form CxS"),
        ("report", "10x3", "leave out --protocol report"),
    ],
)
def test_options_that_make_none_are_refused(name: str | None, views: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Protocol.of(name, views)


def test_the_report_takes_consecutive_frames_and_quotes_clips() -> None:
    sampler = Protocol.of("report").sampler(SPEC)
    assert (sampler.mode, sampler.frames, sampler.stride, sampler.fps) == ("blocks", 4, 1, None)
    described = Protocol.of("report").describe(SPEC, 3)
    assert described["headline"] == "clip" and described["stride"] == 1 and described["top5"] == "top-3 of 3 classes"
    shifted = InputSpec(frames=4, size=32, sampling="uniform", views=2)
    assert Protocol.of("report").describe(shifted, 3)["views"] == 1, "a block is shown once"


def test_views_keep_the_stride_and_say_how_many_there_are() -> None:
    protocol = Protocol.of(views="10x3")
    assert protocol.sampler(SPEC).views == 10 and protocol.transform(SPEC).crops == 3
    described = protocol.describe(SPEC, 400)
    assert described["name"] == "10x3 views" and described["headline"] == "video"
    assert (described["sampling"], described["views"], described["crops"]) == ("spread", 10, 3)
    assert described["stride"] == 2 and described["top5"] == "top-5 of 400 classes"


@pytest.mark.parametrize("resize", [None, (32, 32)])
def test_crops_that_would_be_the_same_are_refused(resize: tuple[int, int] | None) -> None:
    spec = InputSpec(frames=4, size=32, resize=resize)
    with pytest.raises(ConfigError, match=r"--views 5x3: .* its crops are all the same: give --views 5x1"):
        Protocol.of(views="5x3").transform(spec)
    assert Protocol.of(views="5x1").transform(spec).crops == 1


def test_segments_stay_segments() -> None:
    spec = InputSpec(frames=4, size=32, sampling="uniform", views=2)
    assert Protocol.of(views="5x1").sampler(spec).mode == "uniform"
    assert Protocol.of().describe(spec, 9)["views"] == 2
