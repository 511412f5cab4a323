# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The authors' checkpoint in a repository on the Hub: which of its files are one, told before anything large is sent.

The names of a file's tensors stand in a small part of it. That part alone is read over the network, without running
it; they say what the file holds, whatever it is called.
"""

import json
import pickletools
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from huggingface_hub import HfApi, HfFileSystem, constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars, httpx, validate_repo_id

from ..configuration_maefuse import MaeFuseConfig
from .maefuse import AUTOENCODER, FUSION, PARTS, missing_prefix
from .pth_file import unwrapped

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
"""Of the files that can be a checkpoint."""
# One tensor that each part has in every size; a class token is what the authors' encoder lacks.
MARKS = {AUTOENCODER: f"{AUTOENCODER}decoder_pred.weight", FUSION: f"{FUSION}cross_model.in_proj_weight"}
CLASS_TOKEN = f"{AUTOENCODER}cls_token"
# Of a file's table of contents, at most this much is read, in pieces of this size.
TABLE_BYTES, PIECE_BYTES = 16 * 2**20, 2**18
# How a zip archive begins, and the least that it ends with.
ZIP_START, ZIP_END_BYTES = b"PK\x03\x04", 22


@dataclass(frozen=True)
class HubFile:
    """A file of a repository that may hold weights."""

    name: str
    size: int
    """In bytes."""
    parts: frozenset[str] = frozenset()
    """Which of the model's parts it holds: keys of `PARTS`; none if it holds something else."""

    def __str__(self) -> str:
        held = ", ".join(PARTS[part] for part in PARTS if part in self.parts)
        return f"{self.name} ({self.size / 10**6:,.1f} MB): {held or 'something else'}"


@dataclass(frozen=True)
class HubCheckpoint:
    """The files of a repository that make one whole checkpoint."""

    repository: str
    commit: str
    chosen: tuple[HubFile, ...]
    passed_over: tuple[HubFile, ...]
    """What else may hold weights there."""

    def __str__(self) -> str:
        lines = [f"{self.repository} at commit {self.commit} holds"]
        lines += [f"  {file}" for file in self.chosen]
        lines += [f"  {file}; not used" for file in self.passed_over]
        return "\n".join(lines)


def is_hub_name(text: str) -> bool:
    """Whether a text that names nothing on this machine has the form `org/name`, and not that of a file's name."""
    path = Path(text)
    if path.exists() or path.suffix.lower() in SUFFIXES or text.count("/") != 1:
        return False
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True


def find_checkpoint(repository: str, revision: str | None = None, files: Sequence[str] = ()) -> HubCheckpoint:
    """Find the files of a repository that make one whole checkpoint of the authors' layout.

    Args:
        repository: `org/name`.
        revision: branch, tag or commit; without it, the main branch.
        files: names of files there, where it holds more than one checkpoint.

    Raises:
        OSError: if the Hub cannot be reached, or has no such repository, revision or file, or refuses access.
        ValueError: if no checkpoint is there, more than one, or one that needs no conversion.
    """
    with hub_errors(repository, revision):
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
        if missing := [name for name in files if name not in sizes]:
            raise FileNotFoundError(
                f"{repository} has no file {', '.join(missing)}; there is {', '.join(sorted(sizes)) or 'nothing'}."
            )
        commit = str(info.sha)
        candidates = [name for name in files or sorted(sizes) if name.lower().endswith(SUFFIXES)]
        if not files and "config.json" in sizes:
            refuse_what_needs_no_conversion(repository, commit)
        found = [HubFile(name, sizes[name], parts_of(repository, commit, name)) for name in candidates]
    chosen = choose(repository, found, sorted(sizes))
    return HubCheckpoint(repository, commit, chosen, tuple(file for file in found if file not in chosen))


def download(checkpoint: HubCheckpoint) -> list[Path]:
    """Download the chosen files into the Hub's cache, with a progress bar; an `OSError` says what went wrong."""
    # the command line has them switched off
    enable_progress_bars()
    try:
        with hub_errors(checkpoint.repository, checkpoint.commit):
            return [
                Path(hf_hub_download(checkpoint.repository, file.name, revision=checkpoint.commit))
                for file in checkpoint.chosen
            ]
    finally:
        disable_progress_bars()


def refuse_what_needs_no_conversion(repository: str, commit: str) -> None:
    """Raise a `ValueError` for a repository that holds a model of this package or of transformers."""
    try:
        content = json.loads(Path(hf_hub_download(repository, "config.json", revision=commit)).read_bytes())
    except ValueError:
        # some other file of that name
        return
    kind = content.get("model_type") if isinstance(content, dict) else None
    if kind == MaeFuseConfig.model_type:
        raise ValueError(f"{repository} is a model of this package already and needs no conversion: --model takes it.")
    if kind == "vit_mae":
        raise ValueError(
            f"{repository} is a plain masked autoencoder and needs no conversion: MaeFuseModel.from_encoder_pretrained "
            "and `encoder` in training take it."
        )


def choose(repository: str, found: Sequence[HubFile], there: Iterable[str]) -> tuple[HubFile, ...]:
    """The one file that holds all parts, or the two that hold one each; a `ValueError` where that is not clear."""
    whole = [file for file in found if file.parts == PARTS.keys()]
    if len(whole) == 1:
        return (whole[0],)
    halves = [[file for file in found if file.parts == {part}] for part in PARTS]
    if not whole and all(len(files) == 1 for files in halves):
        return tuple(files[0] for files in halves)
    # nothing is left to choose from where a part is missing everywhere
    if not whole and not all(halves):
        held = "; ".join(map(str, found)) or f"only {', '.join(there) or 'nothing'}"
        raise ValueError(
            f"{repository} has no whole checkpoint of MaeFuse that can be converted. It holds {held}. Is it the right "
            "repository? If the file is an old one, without a table of contents, download it and give its path."
        )
    several = whole or [file for files in halves for file in files]
    raise ValueError(
        f"{repository} holds more than one checkpoint: {'; '.join(map(str, several))}. Name the one to convert with "
        "--file, twice for a checkpoint in two files."
    )


def parts_of(repository: str, commit: str, name: str) -> frozenset[str]:
    """Which parts of the model a file on the Hub holds, by the names of its tensors."""
    with HfFileSystem().open(f"{repository}@{commit}/{name}", "rb", block_size=PIECE_BYTES) as file:
        texts = {unwrapped(text) for text in tensor_names(name, file)}
    prefix = missing_prefix(texts)
    names = {prefix + text for text in texts}
    if CLASS_TOKEN in names:
        return frozenset()
    return frozenset(part for part, mark in MARKS.items() if mark in names)


def tensor_names(name: str, file: IO[bytes]) -> set[str]:
    """The names of a file's tensors, and perhaps other texts; nothing for a file whose format does not tell them.

    A `.safetensors` file begins with them. What `torch.save` writes is a zip archive with a pickle of them, whose
    instructions are read and not carried out.
    """
    start = file.read(ZIP_END_BYTES)
    if name.lower().endswith(".safetensors"):
        length = int.from_bytes(start[:8], "little")
        if length > TABLE_BYTES:
            return set()
        file.seek(8)
        try:
            return set(json.loads(file.read(length)))
        except ValueError:
            return set()
    if len(start) < ZIP_END_BYTES or not start.startswith(ZIP_START):
        return set()
    try:
        with zipfile.ZipFile(file) as archive:
            tables = [entry for entry in archive.namelist() if entry.endswith("data.pkl")]
            if len(tables) != 1:
                return set()
            with archive.open(tables[0]) as table:
                return set(texts_in_pickle(table.read(TABLE_BYTES)))
    except zipfile.BadZipFile as error:
        # which is also what zipfile makes of a connection that breaks
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        return set()


def texts_in_pickle(content: bytes) -> Iterator[str]:
    """Every text that the instructions of a pickle hold, up to where it is cut off or broken."""
    try:
        for _, argument, _ in pickletools.genops(content):
            if isinstance(argument, str):
                yield argument
    except ValueError:
        return


@contextmanager
def hub_errors(repository: str, revision: str | None) -> Iterator[None]:
    """Turn what `huggingface_hub` raises into an `OSError` of one sentence that says what to do."""
    page = f"{constants.ENDPOINT}/{repository}"
    try:
        yield
    except GatedRepoError as error:
        raise OSError(f"{repository} is gated: ask for access at {page}, then log in with `hf auth login`.") from error
    except RepositoryNotFoundError as error:
        raise OSError(
            f"{repository} is neither a file here nor a repository that you can see on the Hub. Check the spelling; "
            "for a private one log in with `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise OSError(f"{repository} has no revision {revision}. See {page}/commits for what there is.") from error
    except EntryNotFoundError as error:
        raise OSError(f"{repository}: a file went missing on the Hub while it was read. Try again.") from error
    except OfflineModeIsEnabled as error:
        raise OSError(
            f"{repository} is not a file here, and the variable HF_HUB_OFFLINE forbids to look on the Hub. Unset it, "
            "or download the checkpoint elsewhere and give its path."
        ) from error
    except HfHubHTTPError as error:
        said = (str(error).splitlines() or ["no reason given"])[0]
        raise OSError(f"The Hub refused {repository}: {said} Try again later.") from error
    except httpx.HTTPError as error:
        raise OSError(
            f"The Hub cannot be reached for {repository} ({error}). Check the network, or download the checkpoint "
            f"elsewhere from {page} and give its path."
        ) from error
