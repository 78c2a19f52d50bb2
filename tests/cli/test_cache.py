from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from actrec_zoo.data.feature_store import features_folder, kept_features
from tests.conftest import SMALL, Outcome

Invoke = Callable[..., Outcome]


def test_kept_features_are_listed_and_removed(squares: Path, tmp_path: Path, invoke: Invoke) -> None:
    nothing = invoke("cache")
    assert nothing.code == 0 and "0.0 MB of features, 20 GB allowed" in nothing.out
    flags = (*SMALL, "--trainable", "@head", "--epochs", "2", "--feature-views", "2", "--workers", "0")
    assert invoke("train", "tiny_conv3d", "--data", squares, "--out", tmp_path / "run", *flags).code == 0
    listed = invoke("cache")
    stores = kept_features(features_folder())
    assert len(stores) == 3
    for store in stores:
        (line,) = [line for line in listed.out.splitlines() if store.folder.name in line]
        assert "actrec_zoo_plugins.tiny.model:build" in line and str(squares) in line
    assert "removed 3 of 3" in invoke("cache", "--clear").out
    assert kept_features(features_folder()) == []


def test_a_folder_that_is_none_of_ours_is_shown_as_such(invoke: Invoke) -> None:
    (features_folder() / "other").mkdir(parents=True)
    (features_folder() / "other" / "about.json").write_text("[")
    outcome = invoke("cache")
    assert outcome.code == 0 and "other" in outcome.out and outcome.err == ""
