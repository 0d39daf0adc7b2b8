"""A checkpoint on the Hugging Face Hub: as a model, as a Space that runs this studio with it, and as a static Space,
which is its page.

A token is an argument and nothing else. It is sent in the header of each request to the Hub, and is never written
down, logged, or part of what an error says.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flowers.errors import FlowersError, ShareError
from flowers.models.checkpoint import CARD, Checkpoint
from flowers.paths import PROJECT
from flowers.share.bundle import file_name, write_folder
from flowers.share.card import README, body, listed, model_card

TOKENS = "huggingface.co/settings/tokens"
SPACE_FILES = ("app.py", "requirements.txt", "LICENSE")
# What tells a repository of ours from somebody's work that happens to have the name.
OURS = {"model": CARD, "space": "flowers/studio/app.py", "page": "facts.js"}
SDK = {"space": "gradio", "page": "static"}  # those that are Spaces
STALE = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?|.*\.onnx|checkpoints/.*|flowers/.*")


def push_model(
    checkpoint: Checkpoint,
    repo: str,
    token: str,
    *,
    private: bool = False,
    files: Mapping[str, Path] | None = None,
    endpoint: str | None = None,
) -> str:
    """Put a saved checkpoint, its card and further ``files`` (by name) into the model ``OWNER/NAME``; returns its URL.

    The repository is made, or brought up to date where it holds a checkpoint already. ``endpoint`` is the Hub's
    address (HF_ENDPOINT). Raises ShareError for a bad name or token, a repository that is something
    else, no network, or whatever the Hub refuses; CheckpointError for a damaged checkpoint.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_folder(checkpoint, folder)
        return _send(folder, repo, "model", token, private, files or {}, endpoint)


def push_space(
    checkpoint: Checkpoint, repo: str, token: str, *, private: bool = False, endpoint: str | None = None
) -> str:
    """Make the Space ``OWNER/NAME``, or bring it up to date: this studio, answering with ``checkpoint``.

    Nothing else of this machine is sent: no runs, no photos. Returns and raises as ``push_model``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_space(checkpoint, folder, repo.partition("/")[2])
        return _send(folder, repo, "space", token, private, {}, endpoint)


def push_page(
    checkpoint: Checkpoint, page: Path, repo: str, token: str, *, private: bool = False, endpoint: str | None = None
) -> str:
    """Make the static Space ``OWNER/NAME``, or bring it up to date: the page that ``write_page`` put into the folder
    ``page``. Returns and raises as ``push_model``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        card = Path(scratch) / README
        card.write_text(_page_card(checkpoint, page, repo.partition("/")[2]), encoding="utf-8")
        return _send(page, repo, "page", token, private, {README: card}, endpoint)


def write_space(checkpoint: Checkpoint, folder: Path, title: str) -> None:
    """Fill an empty ``folder`` with what a Space needs to be this studio with this checkpoint. Raises as above."""
    for name in SPACE_FILES:
        shutil.copyfile(PROJECT / name, folder / name)
    made_here = shutil.ignore_patterns("__pycache__", "*.pyi", ".*")
    shutil.copytree(PROJECT / "flowers", folder / "flowers", ignore=made_here)
    own = folder / "checkpoints" / file_name(checkpoint)
    own.mkdir(parents=True)
    write_folder(checkpoint, own)
    (folder / README).write_text(_space_card(checkpoint, title), encoding="utf-8")


def _space_card(checkpoint: Checkpoint, title: str) -> str:
    """The project's front matter, as a Space needs it, with this Space's title; and the checkpoint's card below."""
    from huggingface_hub import SpaceCard

    card = SpaceCard((PROJECT / README).read_text(encoding="utf-8"))
    card.data.title = title or "flowers"
    card.text = (
        f"\n\nA studio in which anyone can teach a network to tell pictures apart. It opens with one that tells "
        f"{listed(checkpoint.classes)} apart; here is its card.\n\n{body(model_card(checkpoint))}\n"
    )
    return str(card)


def _page_card(checkpoint: Checkpoint, page: Path, title: str) -> str:
    """The page's own README, after the front matter by which the Hub knows a static Space."""
    from huggingface_hub import SpaceCard, SpaceCardData

    data = SpaceCardData(
        title=title or checkpoint.name, emoji="🌷", colorFrom="green", colorTo="pink", sdk="static",
        app_file="index.html", tags=["image-classification"],
    )  # fmt: skip
    return str(SpaceCard(f"---\n{data.to_yaml()}\n---\n\n{(page / README).read_text(encoding='utf-8')}"))


def check_token(token: str | None) -> str:
    """The token without the spaces that copying brings along. Raises ShareError for what cannot be one."""
    token = (token or "").strip()
    if not token:
        raise ShareError(f"The Hub asks for a token: make one that may write at {TOKENS}, and paste it.")
    if not re.fullmatch(r"[!-~]{4,500}", token):  # what no header may hold would be told in an error
        raise ShareError(f"That is no token: copy it once more from {TOKENS}, all of it and nothing else.")
    return token


def check_name(repo: str | None) -> str:
    """``OWNER/NAME``, checked. Raises ShareError."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    repo = (repo or "").strip()
    try:
        if repo.count("/") != 1:
            raise HFValidationError("no owner")
        validate_repo_id(repo)
    except HFValidationError:
        raise ShareError(
            f"{repo!r} is no name for the Hub: write OWNER/NAME, where OWNER is your name there and NAME has letters, "
            "digits, dots and dashes."
        ) from None
    return repo


def _send(
    folder: Path, repo: str, kind: str, token: str, private: bool, files: Mapping[str, Path], endpoint: str | None
) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.utils import disable_progress_bars

    repo, token = check_name(repo), check_token(token)
    disable_progress_bars()
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    paths |= files
    api = HfApi(endpoint=endpoint, token=token)
    try:
        there, repo_type = _open_repository(api, repo, kind, private), "space" if kind in SDK else kind
        stale = [name for name in there if name not in paths and STALE.fullmatch(name)]
        # All in one commit: nobody ever meets half of a checkpoint there.
        changes = [CommitOperationAdd(name, path) for name, path in paths.items()]
        changes += [CommitOperationDelete(name, is_folder=False) for name in stale]
        api.create_commit(repo, changes, commit_message="Sent by flowers", repo_type=repo_type)
    except FlowersError:
        raise
    except Exception as error:  # of the client, of what it is built on, of the storage behind the Hub
        # "from None": a chain of causes would be printed with it, and requests hold the token.
        raise ShareError(_in_words(error, repo, token)) from None
    return f"{api.endpoint}/{'spaces/' if kind in SDK else ''}{repo}"


def _open_repository(api: object, repo: str, kind: str, private: bool) -> list[str]:
    """The names of the files in the repository, which is made where there is none."""
    from huggingface_hub.errors import HfHubHTTPError

    repo_type = "space" if kind in SDK else kind
    try:
        api.create_repo(repo, private=private, repo_type=repo_type, space_sdk=SDK.get(kind))
        return []
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
    there = api.list_repo_files(repo, repo_type=repo_type)
    if OURS[kind] not in there and set(there) - {".gitattributes", README}:
        raise ShareError(f"{repo} is there already and is something else: choose another name.")
    return there


def _in_words(error: Exception, repo: str, token: str) -> str:
    """What went wrong, in a sentence without the token."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    owner = repo.partition("/")[0]
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        known = {
            401: f"The Hub does not accept this token: make one that may write at {TOKENS}, and copy all of it.",
            402: f"The Hub asks {owner} to pay for this: see huggingface.co/settings/billing, or make it public.",
            403: f"This token may not write to {repo}: give it write access at {TOKENS}, or choose another OWNER.",
            404: f"The Hub knows no {owner}, or this token may not see it: choose your own name there as OWNER.",
            413: f"{owner} has no room for this on the Hub: delete something there, or send it to another OWNER.",
            429: "The Hub has had too many requests from here: wait a few minutes and try again.",
        }
        said = " ".join((error.server_message or "").replace(token, "…").split()).rstrip(".")[:200]
        told = known.get(status, f"The Hub refused this with error {status}: try again later.")
        return f"{told} It says: {said}." if said else told
    if isinstance(error, OfflineModeIsEnabled):
        return "This machine is told to stay offline (HF_HUB_OFFLINE): unset that, and try again."
    # By name: the client is built on httpx or httpx2, by its version.
    if isinstance(error, OSError) or any(base.__name__ == "TransportError" for base in type(error).__mro__):
        return "The Hugging Face Hub cannot be reached from here: go online and try again."
    return f"The Hub could not be sent this ({type(error).__name__}): try again later."
