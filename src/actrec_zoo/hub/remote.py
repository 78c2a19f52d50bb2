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
        files = [hf_hub_download(repository, name, revision=revision or None) for name in (CONFIG_FILE, WEIGHTS_FILE)]
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise WeightsError(f"cannot get {reference} from the Hugging Face Hub: {reason}") from error
    return Path(files[0]).parent
