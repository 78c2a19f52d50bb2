"""Which models of actrec-zoo are on the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import dataclass

from actrec_zoo.errors import HubError
from actrec_zoo.hub.markdown import LIBRARY
from actrec_zoo.hub.patience import is_of_the_client, patiently
from actrec_zoo.hub.remote import reason

_OF_EVERY_MODEL = {LIBRARY, "action-recognition", "safetensors"}


@dataclass(frozen=True)
class Published:
    """A model on the Hub.

    Attributes:
        repository: `org/name`.
        tags: but for those that every model of ours has, and those that the Hub adds.
        license: as its card has it.
        changed: when, ISO 8601 date.
        downloads: of the last 30 days.
        private: whether only its owner sees it.
    """

    repository: str
    tags: tuple[str, ...]
    license: str | None
    changed: str | None
    downloads: int
    private: bool


def published(namespace: str | None = None) -> list[Published]:
    """The models whose cards name actrec-zoo as their library, by repository.

    Args:
        namespace: user or organisation; None is everybody.

    Raises:
        HubError: the Hub cannot be asked.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name=LIBRARY)
    try:
        found = patiently(lambda: list(api.list_models(author=namespace, filter=LIBRARY, full=True, cardData=True)))
    except Exception as error:
        if not is_of_the_client(error):
            raise
        raise HubError(f"cannot list the models on the Hugging Face Hub: {reason(error)}") from error
    return sorted(
        (
            Published(
                model.id,
                tuple(tag for tag in model.tags or () if tag not in _OF_EVERY_MODEL and ":" not in tag),
                str(model.card_data.license) if model.card_data and model.card_data.license else None,
                model.last_modified.date().isoformat() if model.last_modified else None,
                model.downloads or 0,
                bool(model.private),
            )
            for model in found
        ),
        key=lambda model: model.repository,
    )
