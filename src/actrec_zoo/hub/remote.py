"""Models on the Hugging Face Hub, named `hf:org/name` or `hf:org/name@revision`."""

from pathlib import Path

from actrec_zoo.errors import WeightsError
from actrec_zoo.hub.package import CONFIG_FILE, WEIGHTS_FILE

PREFIX = "hf:"


def pull(reference: str) -> Path:
    """Download a model's weights and configuration into huggingface_hub's cache; return their folder.

    The endpoint, the cache and offline mode are huggingface_hub's own: HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE.

    Raises:
        WeightsError: the repository or one of the two files cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = reference.removeprefix(PREFIX).partition("@")
    try:
        folder = Path(hf_hub_download(repository, CONFIG_FILE, revision=revision or None)).parent
        hf_hub_download(repository, WEIGHTS_FILE, revision=folder.name)  # of the same commit
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(f"cannot get {reference} from the Hugging Face Hub: {_reason(error)}") from error
    return folder


def _reason(error: Exception) -> str:
    """The client's message in one line, without its request id."""
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and "Request ID" not in line) or type(error).__name__
