import logging
from pathlib import Path

import pytest

from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.data.rates import video_rate, warn_of_unknown_rates, with_rates
from tests.conftest import moving_square, write_frames, write_video


def test_rates_of_files_folders_and_broken_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_video(tmp_path / "run" / "a.mp4", moving_square(5, step=1))
    write_frames(tmp_path / "run" / "b", moving_square(5, step=1))
    (tmp_path / "run" / "c.mp4").write_bytes(b"no video")
    manifest = with_rates(probe(read_manifest(tmp_path)))
    assert manifest.rates.tolist() == [25, 0, 0]
    assert video_rate(tmp_path / "run" / "c.mp4") == 0
    with caplog.at_level(logging.WARNING):
        warn_of_unknown_rates(manifest)
    assert "1 videos state no frame rate (folders of frames)" in caplog.text
