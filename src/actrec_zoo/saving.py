"""`save`: from a model to a folder that `load` and the Hub take."""

from pathlib import Path

from actrec_zoo.classifier import VideoClassifier
from actrec_zoo.errors import RunError
from actrec_zoo.hub.package import CONFIG_FILE
from actrec_zoo.hub.packing import write_package
from actrec_zoo.registry import get_registry


def save(model: VideoClassifier, folder: str | Path) -> Path:
    """Write a model's configuration and weights; `load(folder)` gives it back bit for bit.

    Where the architecture is transformers' own, its `from_pretrained` loads the folder too. A run is saved already: its
    folder is one of these, and has the card and the evaluation as well.

    Args:
        model: trained or not.
        folder: made where it is not there.

    Returns:
        The folder.

    Raises:
        RunError: the folder has a model already, or cannot be written.
        ConfigError: a label or an option could not be read back.

    Example:
        >>> import tempfile, actrec_zoo
        >>> model = actrec_zoo.load("tiny_conv3d", weights=None, num_classes=3)
        >>> folder = actrec_zoo.save(model, tempfile.mkdtemp())
        >>> actrec_zoo.load(folder).labels
        ('0', '1', '2')
    """
    folder = Path(folder)
    if (folder / CONFIG_FILE).exists():
        raise RunError(f"{folder} has a model already: choose another folder")
    plugin = get_registry().find(model.id).plugin
    write_package(folder, model, {"distribution": plugin.distribution, "version": plugin.version})
    return folder
