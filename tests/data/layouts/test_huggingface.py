import importlib.util
from pathlib import Path

import pytest

from actrec_zoo.data.layouts import read_manifest
from actrec_zoo.data.probe import probe
from actrec_zoo.errors import DataError
from tests.conftest import moving_square, write_video

installed = importlib.util.find_spec("datasets") is not None
needs_datasets = [
    pytest.mark.skipif(not installed, reason="needs the extra actrec-zoo[datasets]"),
    pytest.mark.filterwarnings("default"),  # those of that library and of what it imports
]


@pytest.mark.skipif(installed, reason="the extra is installed")
def test_without_the_extra_the_error_says_how_to_get_it() -> None:
    with pytest.raises(DataError, match=r"pip install 'actrec-zoo\[datasets\]'"):
        read_manifest(Path("hf:org/name"))


class TestWithTheExtra:
    pytestmark = needs_datasets

    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The library's cache is the test's own."""
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def test_a_folder_of_video_files(self, tmp_path: Path) -> None:
        for split, number in (("train", 3), ("test", 4)):
            for label in ("left", "right"):
                write_video(tmp_path / "data" / split / label / "a.mp4", moving_square(number, step=1))
        manifest = probe(read_manifest(Path(f"hf:{tmp_path / 'data'}")))
        assert manifest.classes == ("left", "right")
        assert [manifest.entry(i).split for i in range(4)] == ["train", "train", "test", "test"]
        assert manifest.frames.tolist() == [3, 3, 4, 4]
        assert manifest.paths[0] == "train/000000.mp4"

    def test_bytes_in_a_table_are_written_once(self, tmp_path: Path) -> None:
        from datasets import ClassLabel, Dataset, Features, Value, Video

        content = write_video(tmp_path / "a.mp4", moving_square(5, step=1)).read_bytes()
        video = {"bytes": content, "path": None}
        rows = {"clip": [video, video, None], "label": [1, -1, 0], "id": [1, 2, 3]}
        features = Features({"clip": Video(), "label": ClassLabel(names=["a", "b"]), "id": Value("int64")})
        (tmp_path / "data").mkdir()
        Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "data" / "train.parquet"))
        manifest = read_manifest(Path(f"hf:{tmp_path / 'data'}"))
        assert [tuple(manifest.entry(i)) for i in range(len(manifest))] == [("train/000000.mp4", "b", "", "", None)]
        assert manifest.skipped == {"video without label": 1, "missing video": 1}
        file = manifest.path(0)
        assert file.read_bytes() == content
        time = file.stat().st_mtime_ns
        read_manifest(Path(f"hf:{tmp_path / 'data'}"))
        assert file.stat().st_mtime_ns == time

    def test_a_data_set_without_videos_or_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "train.csv").write_text("text,label\nhello,1\n")
        with pytest.raises(DataError, match="has no column of videos and of labels: it has text, label"):
            read_manifest(Path(f"hf:{tmp_path / 'data'}"))
        with pytest.raises(DataError, match=r"cannot load the data set '.*nowhere'"):
            read_manifest(Path(f"hf:{tmp_path / 'nowhere'}"))
