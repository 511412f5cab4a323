"""Make a dataset on the Hub of a folder of pairs, one that `data.pairs=org/name` trains on.

    python training/push_pairs.py data/pairs/train org/name --split train

The folder is as `training/data.py` says. The dataset has two image columns, `infrared` and `visible`, in Parquet files;
an image's file goes in as it is, byte for byte. All pairs are read before anything is sent.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datasets
from huggingface_hub.utils import httpx
from tqdm import tqdm

from maefuse_hf.inference import PairPaths, find_pairs
from training.data import PAIR_COLUMNS, read_pair
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
    pairs, problems = find_pairs(folder)
    with ThreadPoolExecutor() as pool:
        found = tqdm(pool.map(problem_of, pairs), total=len(pairs), desc="checking pairs", unit="pair")
        problems += [problem for problem in found if problem is not None]
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise ValueError(
            f"{folder} has {len(problems)} problems; nothing was sent. Mend or remove these, then try again:\n{listed}"
        )
    if not pairs:
        raise ValueError(f"{folder} holds no pairs.")
    columns = {column: [str(getattr(pair, column)) for pair in pairs] for column in PAIR_COLUMNS}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(dict.fromkeys(columns, datasets.Image())))


def problem_of(pair: PairPaths) -> str | None:
    """What is wrong with a pair, if something is."""
    try:
        read_pair(pair.infrared, pair.visible)
    except (OSError, ValueError) as error:
        return f"{pair.name}: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())
