"""Downloads from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from afmc.errors import ModelError, did_you_mean
from afmc.frontends.find import KNOWN
from afmc.frontends.loaded import first_line
from afmc.frontends.quiet import quiet

_HUB_TIMEOUT_S = 10.0


def download(
    name: str, revision: str | None, trust_remote_code: bool, files: Sequence[str]
) -> Path:
    """The hub's snapshot folder; HF_HOME, HF_HUB_OFFLINE and HF_TOKEN act as they always do."""
    try:
        with quiet():
            folder = snapshot_download(
                name,
                revision=revision,
                allow_patterns=[*files, "*.py"] if trust_remote_code else list(files),
                ignore_patterns=["*/*", "consolidated*.safetensors", "*.fp16.*"],
                etag_timeout=_HUB_TIMEOUT_S,
            )
    except Exception as error:  # httpx, OSError and the hub's own, by turns
        raise ModelError(_why_not_there(name, revision, error)) from error
    return Path(folder)


def _why_not_there(name: str, revision: str | None, error: Exception) -> str:
    if isinstance(error, GatedRepoError):
        return (
            f"{name} is gated: ask for access on its page on the hub, and set HF_TOKEN to a token"
            " that has it."
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{name} has no revision '{revision}' on the hub: give a branch, tag or commit."
    at = f" at revision '{revision}'" if revision else ""
    if constants.HF_HUB_OFFLINE:
        why = (
            f"it is not in the hub's cache {constants.HF_HUB_CACHE}{at}, while HF_HUB_OFFLINE"
            " forbids to ask the hub"
        )
    elif isinstance(error, RepositoryNotFoundError):
        why = "the hub has no such model, or none that HF_TOKEN opens"
    else:
        why = f"the hub could not be reached or has no such model{at} ({first_line(error)})"
    hint = did_you_mean(name.lower(), KNOWN)
    return f"{name} is neither a file nor a folder here nor a known name, and {why}.{hint}"
