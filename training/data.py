"""Registered pairs and single images, wherever they lie: opened, checked, decoded and split.

`DataConfig.pairs` names one of

- a folder with `infrared/` and `visible/`, same-named images in both;
- a folder in the `imagefolder` layout of datasets, its `metadata.jsonl` with `infrared_file_name` and
  `visible_file_name` a line;
- Parquet files (a glob that ends in `.parquet`), or whatever else `datasets.load_dataset` opens, above all a dataset on
  the Hub, with two image columns `infrared` and `visible`. `push_pairs.py` makes one of a folder;
- tar files in the layout of WebDataset (a glob that ends in `.tar`), with `NAME.infrared.png` and `NAME.visible.png` of
  each pair, or other image suffixes.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from PIL import Image
from tqdm import tqdm

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.colour import luminance_8_bit
from maefuse_hf.image_files import load_upright, open_image
from maefuse_hf.inference import PairPaths, find_pairs
from training.config import DataConfig

if TYPE_CHECKING:
    import datasets

Result = TypeVar("Result")

PAIR_COLUMNS = ("infrared", "visible")
"""Image columns of a dataset of pairs."""
ROWS_OF_A_SHARD = 2**32
"""The number of a streamed row is its place in its shard, and this many for each shard before."""
FILES = {".parquet": "parquet", ".tar": "webdataset"}
"""What `datasets` calls the files that a glob names, by their suffix."""


class Pairs:
    """Named pairs, each decoded when it is asked for: `(2, H, W)` uint8 luminance, infrared first."""

    def __init__(self, names: Sequence[str], read: Callable[[int], np.ndarray]) -> None:
        self.names = list(names)
        self.read = read

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.read(index)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.read(index) for index in range(len(self)))

    def select(self, indices: Sequence[int]) -> Pairs:
        """Those pairs, in that order."""
        return Pairs([self.names[index] for index in indices], partial(read_selected, self.read, list(indices)))

    def __add__(self, others: Pairs) -> Pairs:
        """These pairs, and then the others."""
        return Pairs([*self.names, *others.names], partial(read_joined, self, others))


def read_joined(first: Pairs, others: Pairs, index: int) -> np.ndarray:
    return first[index] if index < len(first) else others[index - len(first)]


def read_selected(read: Callable[[int], np.ndarray], indices: Sequence[int], index: int) -> np.ndarray:
    return read(indices[index])


def read_files(paths: Sequence[PairPaths], index: int) -> np.ndarray:
    return read_pair(paths[index].infrared, paths[index].visible)


def read_row(table: datasets.Dataset, index: int) -> np.ndarray:
    return decode_row(table[index])


def decode_row(row: dict[str, Any]) -> np.ndarray:
    """A row of encoded images as `read_pair` gives it."""
    return read_pair(*(open_cell(row[column], column) for column in PAIR_COLUMNS))


def open_cell(cell: dict[str, Any], name: str) -> Image.Image:
    """The image of an undecoded cell of a dataset's image column; errors as of `open_image`."""
    from datasets.utils.file_utils import xopen

    content = cell["bytes"]
    if content is None:
        with xopen(cell["path"], "rb") as file:
            content = file.read()
    return open_image(BytesIO(content), name)


def read_pair(infrared: Any, visible: Any) -> np.ndarray:
    """One pair, of paths or of PIL images, as `(2, H, W)` uint8 luminance, infrared first, read as at inference.

    Raises:
        ValueError: if the two sizes differ or an image has no content.
        OSError: if a file cannot be read as an image; the message names it.
    """
    inputs = MaeFuseImageProcessor(size_divisor=1)(infrared=infrared, visible=visible)
    pixels = np.concatenate([inputs["infrared"][0], inputs["visible"][0]])
    return np.rint(pixels * 255).astype(np.uint8)


def open_pairs(data: DataConfig) -> tuple[Pairs, list[str]]:
    """The pairs that `data.pairs` names, not yet decoded, and a sentence for each file that makes no pair.

    Raises:
        ValueError, OSError: if there is nothing of that name, or nothing that holds pairs.
    """
    folder = Path(data.pairs)
    if folder.is_dir() and not any(next(folder.rglob(f"*{suffix}"), None) for suffix in FILES):
        paths, problems = find_pairs(folder)
        return Pairs([pair.name for pair in paths], partial(read_files, paths)), problems
    table = load_table(data)
    return Pairs([row_name(number) for number in range(len(table))], partial(read_row, table)), []


def load_table(data: DataConfig) -> Any:
    """`datasets.load_dataset` of pairs, streamed where `data.streaming` says so: rows of two encoded images.

    Raises:
        OSError: if there is no such dataset.
        ValueError: if it lacks an image column.
    """
    import datasets

    kind = FILES.get(Path(data.pairs).suffix)
    try:
        if kind is not None:
            table = datasets.load_dataset(kind, data_files=data.pairs, split="train", streaming=data.streaming)
        else:
            table = datasets.load_dataset(data.pairs, split=data.split, streaming=data.streaming)
    except OSError as error:
        raise OSError(
            f"Cannot open the pairs {data.pairs}. It is no folder of images, and as a dataset: {error}"
        ) from error
    for name in PAIR_COLUMNS:
        # WebDataset names its columns as the files end, infrared.png for one
        named = [column for column in table.features or {} if column.startswith(f"{name}.")]
        if len(named) == 1:
            table = table.rename_column(named[0], name)
    columns = table.features or {}
    lacking = [name for name in PAIR_COLUMNS if not isinstance(columns.get(name), datasets.Image)]
    if lacking:
        raise ValueError(
            f"{data.pairs} has no image column {' and no '.join(lacking)}; it has {', '.join(columns) or 'none'}. "
            f"Rename or cast its columns to {' and '.join(PAIR_COLUMNS)}."
        )
    table = table.select_columns(list(PAIR_COLUMNS))
    for column in PAIR_COLUMNS:
        # images wait undecoded in the buffer of a shuffled stream, and one that cannot be decoded can be named
        table = table.cast_column(column, datasets.Image(decode=False))
    return table


def checked_pairs(data: DataConfig) -> Pairs:
    """The pairs that `data.pairs` names, every one of them decoded once, with a progress bar, before training starts.

    Raises:
        ValueError: listing all that is wrong: missing partners, unreadable files, unequal sizes, images smaller
            than the crop; or if there is no pair at all.
        OSError: if there is nothing of that name.
    """
    pairs, problems = open_pairs(data)

    def used(pair: np.ndarray) -> np.ndarray | None:
        require_room(pair, data.crop_size)
        return pair if data.in_memory else None

    images = read_all(pairs, used, problems, data.pairs, "Mend or remove these, then start again")
    return Pairs(pairs.names, cast(list[np.ndarray], images).__getitem__) if data.in_memory else pairs


def read_all(
    pairs: Pairs, use: Callable[[np.ndarray], Result], problems: Sequence[str], source: object, advice: str
) -> list[Result]:
    """What `use` makes of each pair, all of them decoded once, in parallel and with a progress bar.

    Args:
        pairs: from `source`, as `open_pairs` gives them.
        use: raises a `ValueError` for a pair that cannot be used.
        problems: what was wrong before any pair was decoded.
        source, advice: for the message, where the pairs are from and what to do.

    Raises:
        ValueError: listing all that is wrong, in `problems` and with any pair; or if there is no pair at all.
    """

    def one(index: int) -> tuple[Result | None, str | None]:
        try:
            return use(pairs[index]), None
        except (OSError, ValueError) as error:
            return None, f"{pairs.names[index]}: {error}"

    with ThreadPoolExecutor() as pool:
        results = list(tqdm(pool.map(one, range(len(pairs))), total=len(pairs), desc="checking pairs", unit="pair"))
    found = [*problems, *(problem for _, problem in results if problem is not None)]
    if found:
        listed = "\n".join(f"- {problem}" for problem in found)
        raise ValueError(f"{source} has {len(found)} problems. {advice}:\n{listed}")
    if not len(pairs):
        raise ValueError(f"{source} holds no pairs.")
    return [result for result, _ in results]  # type: ignore[misc]


def require_room(image: np.ndarray, crop_size: int) -> None:
    """Raise a `ValueError` if a `(C, H, W)` image is smaller than the crop."""
    height, width = image.shape[1:]
    if min(height, width) < crop_size:
        raise ValueError(
            f"it is {height}x{width}, smaller than the crop of {crop_size}; lower crop_size or leave it out."
        )


def split_by_name(pairs: Pairs, data: DataConfig) -> tuple[Pairs, Pairs]:
    """Training and validation pairs as the text files of `data` name them; without such files as `split_pairs`.

    Raises:
        ValueError: if a file names a pair that there is not, or nothing is left to train on.
        OSError: if a file cannot be read.
    """
    left_out = {name for file in data.left_out for name in names_in(file, pairs)}
    others = pairs.select([k for k, name in enumerate(pairs.names) if name not in left_out])
    if data.validation_names is None:
        return split_pairs(others, data.validation_pairs)
    held_out = set(names_in(data.validation_names, pairs))
    training = others.select([k for k, name in enumerate(others.names) if name not in held_out])
    if not len(training):
        raise ValueError(f"{data.validation_names} and left_out leave nothing of {data.pairs} to train on.")
    return training, others.select([k for k, name in enumerate(others.names) if name in held_out])


def names_in(file: str, pairs: Pairs) -> list[str]:
    """The names that a text file lists, one a line, all of them names of pairs."""
    names = names_in_file(file)
    unknown = sorted(set(names) - set(pairs.names))
    if unknown:
        raise ValueError(
            f"{file} names {len(unknown)} pairs that there are not, {unknown[0]} for one; a pair is called as its "
            "infrared file without the suffix."
        )
    return names


def names_in_file(file: str) -> list[str]:
    """The names that a text file lists, one a line."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def split_pairs(pairs: Pairs, validation_pairs: int) -> tuple[Pairs, Pairs]:
    """Keep `validation_pairs` pairs, spread evenly over all of them, out of training.

    Returns:
        `(training, validation)`, disjoint, together all pairs.

    Raises:
        ValueError: if nothing would be left to train on.
    """
    if validation_pairs >= len(pairs):
        raise ValueError(
            f"{validation_pairs} validation pairs of {len(pairs)} leave nothing to train on; lower validation_pairs."
        )
    held_out = [(2 * k + 1) * len(pairs) // (2 * validation_pairs) for k in range(validation_pairs)]
    return pairs.select([k for k in range(len(pairs)) if k not in set(held_out)]), pairs.select(held_out)


def split_stream(data: DataConfig) -> tuple[datasets.IterableDataset, Pairs]:
    """A stream of training rows, each with its number `row`, and the stream's first `validation_pairs` pairs, decoded,
    which it leaves out. The stream has the shards of the table, a file each, and a reader of some opens no other.

    Raises:
        ValueError, OSError: as `load_table`, and if one of those first pairs cannot be used or there is no other.
    """
    import datasets

    table = load_table(data)
    shards = list(range(table.num_shards))
    rows = rows_of_shards(shards, table, {})
    first = tqdm(
        itertools.islice(rows, data.validation_pairs),
        total=data.validation_pairs,
        desc="reading validation pairs",
        unit="pair",
    )
    read = {row["row"]: decode_streamed(row, data.crop_size) for row in first}
    following = next(rows, None)
    if following is None:
        raise ValueError(
            f"{data.pairs} streams {len(read)} pairs, and {data.validation_pairs} are validation pairs: nothing is "
            "left to train on. Lower validation_pairs."
        )
    # a shard that is held out whole would leave a process without a pair
    left = shards[following["row"] // ROWS_OF_A_SHARD :]
    held_out = Counter(number // ROWS_OF_A_SHARD for number in read)
    stream = datasets.IterableDataset.from_generator(
        rows_of_shards, gen_kwargs={"shards": left, "table": table, "held_out": dict(held_out)}
    )
    return stream, Pairs([row_name(number) for number in read], list(read.values()).__getitem__)


def rows_of_shards(shards: Sequence[int], table: Any, held_out: dict[int, int]) -> Iterator[dict[str, Any]]:
    """The rows of some shards of a streamed table, each with its number `row`, without the first ones of those shards
    that `held_out` says how many of."""
    for shard in shards:
        rows = table.shard(num_shards=table.num_shards, index=shard)
        for place, row in enumerate(rows):
            if place >= held_out.get(shard, 0):
                yield {**row, "row": shard * ROWS_OF_A_SHARD + place}


def share_of_stream(stream: datasets.IterableDataset, process: int, processes: int) -> datasets.IterableDataset:
    """What one of several processes reads of a stream: in each epoch other shards than all others or, where there are
    too few of them, each `processes`-th row of all."""
    from datasets.distributed import split_dataset_by_node

    strategy = "shards" if has_a_shard_for_each(stream, processes) else "examples"
    return split_dataset_by_node(stream, process, processes, strategy=strategy)


def has_a_shard_for_each(stream: datasets.IterableDataset, processes: int) -> bool:
    return stream.num_shards >= processes


def decode_streamed(row: dict[str, Any], crop_size: int) -> np.ndarray:
    """`(2, H, W)` uint8 luminance of a row of a stream; a `ValueError` names the row if it has none."""
    try:
        pair = decode_row(row)
        require_room(pair, crop_size)
    except (OSError, ValueError) as error:
        raise ValueError(f"{row_name(row['row'])}: {error}") from error
    return pair


def row_name(number: int) -> str:
    """What a pair of a table or stream is called: its row, and in a stream's later shards the shard too."""
    shard, place = divmod(number, ROWS_OF_A_SHARD)
    return f"row {place} of shard {shard}" if shard else f"row {place}"


def read_photos(files: str) -> list[np.ndarray]:
    """Decode the `image` column of Parquet files (a glob) into memory, `(1, H, W)` uint8 luminance each."""
    import datasets

    photos = datasets.load_dataset("parquet", data_files=files, split="train").select_columns("image")
    photos = photos.cast_column("image", datasets.Image(decode=False))
    return [read_photo(row["image"])[None] for row in tqdm(photos, desc="reading photos", unit="photo")]


def read_photo(cell: dict[str, Any]) -> np.ndarray:
    """`(H, W)` uint8 luminance of a photograph in an undecoded cell."""
    return luminance_8_bit(load_upright(open_cell(cell, "image"), "image"))
