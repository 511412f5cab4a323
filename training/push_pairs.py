"""Make a dataset on the Hub of a folder of pairs, one that `data.pairs=org/name` trains on.

    python training/push_pairs.py data/pairs/train org/name --split train

The folder is as `training/data.py` says. The dataset has two image columns, `infrared` and `visible`, in Parquet files;
an image's file goes in as it is, byte for byte. All pairs are read before anything is sent.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import datasets
from huggingface_hub.utils import httpx

from maefuse_hf.inference import find_pairs
from training.data import PAIR_COLUMNS, Pairs, read_all, read_files
from training.publish import require_token


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 1 if something is wrong, which is said."""
    parser = argparse.ArgumentParser(description="Make a dataset on the Hub of a folder of pairs.")
    parser.add_argument("folder", type=Path, help="infrared/ and visible/ of same-named images, or metadata.jsonl")
    parser.add_argument("repo", metavar="ORG/NAME", help="the dataset's name on the Hub")
    parser.add_argument("--split", default="train", help="which split the pairs are")
    parser.add_argument("--private", action="store_true", help="make a new dataset private")
    options = parser.parse_args(arguments)
    try:
        require_token()
        table = pairs_table(options.folder)
        sent = table.push_to_hub(options.repo, split=options.split, private=options.private)
    except (OSError, ValueError, httpx.HTTPError) as error:
        print(f"push_pairs: {error}", file=sys.stderr)
        return 1
    print(f"Sent {len(table)} pairs: {sent.commit_url}\nTrain on them with data.pairs={options.repo}", end="")
    print(f" data.split={options.split}" if options.split != "train" else "")
    return 0


def pairs_table(folder: Path) -> datasets.Dataset:
    """The pairs of a folder as a table of two image columns, which name files and hold nothing yet.

    Raises:
        OSError: if the folder cannot be read.
        ValueError: listing all that is wrong with the pairs, or if there is none.
    """
    paths, problems = find_pairs(folder)
    pairs = Pairs([pair.name for pair in paths], partial(read_files, paths))
    read_all(pairs, lambda pair: None, problems, folder, "Nothing was sent. Mend or remove these, then try again")
    columns = {column: [str(getattr(pair, column)) for pair in paths] for column in PAIR_COLUMNS}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(dict.fromkeys(columns, datasets.Image())))


if __name__ == "__main__":
    sys.exit(main())
