"""An exported model on the Hugging Face hub: `cotdistill push`.

Nothing is sent before it is asked for, and a new repository is private. The token is the one that
huggingface_hub finds itself, in HF_TOKEN or from `hf auth login`; it is never read here.
"""

import os
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError

from cotdistill.errors import UserError


def lacking(folder: Path) -> list[str]:
    """Return what the hub asks of a model card and this one has not."""
    data = huggingface_hub.metadata_load(folder / "README.md") or {}
    wanted = {
        "license": "no licence: give --license, or add `license` to README.md",
        "base_model": "no base model on the hub: add `base_model` to README.md where there is one",
        "model-index": "no figures: the run has not been evaluated",
    }
    return [text for key, text in wanted.items() if not data.get(key)]


def files(folder: Path) -> list[tuple[str, int]]:
    """Return the files to be sent, relative to the folder, with their sizes in bytes."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in found]


def push(folder: Path, repo: str, *, private: bool = True, message: str) -> str:
    """Send a folder to the repository `repo` ("name" or "owner/name"); return its address.

    Raises:
        UserError: not logged in, no such name, a public repository where a private one is
            asked for, or the hub refuses; the message is one line.
    """
    api = huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    if huggingface_hub.get_token() is None:
        raise UserError("push: not logged in to the hub; run `hf auth login`, or set HF_TOKEN")
    try:
        name = api.create_repo(repo, private=private, exist_ok=True).repo_id
        if private and not api.repo_info(name).private:
            raise UserError(f"push: {name} is a public repository; say --public if that is meant")
        api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
    except UserError:
        raise
    except (HfHubHTTPError, ValueError, OSError) as error:  # ValueError: of a name or address
        raise UserError(f"push: {repo}: {str(error).strip().splitlines()[0]}") from error
    return f"{api.endpoint}/{name}"
