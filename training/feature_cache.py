"""What the frozen encoder makes of fixed crops, kept on disk, so that it runs once on each instead of every epoch."""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm

from maefuse_hf import MaeFuseModel
from training.config import FeatureCacheConfig
from training.crops import Draw, FixedPairCrops

DATA_FIELDS_OF_A_CROP = (
    "crop_size",
    "crops_per_pair",
    "scale_range",
    "gamma_range",
    "gain_range",
    "black_hot_probability",
    "damage_probability",
    "damage_weights",
)
CONFIG_FIELDS_OF_FEATURES = ("use_cls_token", "position_embedding", "image_mean", "image_std")


class CachedPairCrops(FixedPairCrops):
    """Fixed crops with the encoder's features of both images, `(tokens, hidden)` each, read from disk."""

    def __init__(self, crops: FixedPairCrops, features: Path) -> None:
        super().__init__(crops.pairs, crops.data, crops.seed)
        self.features = np.load(features, mmap_mode="r")

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        infrared, visible = torch.from_numpy(self.features[draw[0]].copy())
        return {**super().__getitem__(draw), "infrared_features": infrared, "visible_features": visible}


def cache_features(
    crops: FixedPairCrops, model: MaeFuseModel, config: FeatureCacheConfig, batch_size: int, accelerator: Accelerator
) -> CachedPairCrops:
    """Encode every crop once, or find it done. Every process calls it and encodes its share.

    Args:
        crops: what is encoded.
        model: its encoder is used, on the accelerator's device and in its precision.
        config: where the cache lies, and in which precision; it must be a folder that all processes see.
        batch_size: crops encoded at once.

    Raises:
        OSError: if the folder has not room enough; nothing has been written then.
    """
    assert config.folder is not None
    folder = Path(config.folder)
    path = folder / f"{cache_key(crops, model, config, accelerator.mixed_precision)}.npy"
    rows, columns = (crops.data.crop_size // model.patch_size,) * 2
    shape = (len(crops), 2, rows * columns, model.config.encoder_config.hidden_size)
    size = int(np.prod(shape)) * np.dtype(config.dtype).itemsize
    accelerator.print(f"Feature cache {path}: {len(crops)} crops, {tqdm.format_sizeof(size, 'B')}")
    if path.is_file():
        accelerator.print("It is there already.")
        return CachedPairCrops(crops, path)

    partial = path.with_suffix(".partial")
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > free:
            raise OSError(
                f"The feature cache needs {tqdm.format_sizeof(size, 'B')}, but {folder} has "
                f"{tqdm.format_sizeof(free, 'B')} free. Lower data.crops_per_pair or choose another "
                "feature_cache.folder."
            )
        np.lib.format.open_memmap(partial, "w+", config.dtype, shape)
    accelerator.wait_for_everyone()
    fill(np.lib.format.open_memmap(partial, "r+"), crops, model.to(accelerator.device), batch_size, accelerator)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        partial.replace(path)
    accelerator.wait_for_everyone()
    return CachedPairCrops(crops, path)


@torch.no_grad()
def fill(
    features: np.memmap, crops: FixedPairCrops, model: MaeFuseModel, batch_size: int, accelerator: Accelerator
) -> None:
    """Write this process's share of the features."""
    mine = range(accelerator.process_index, len(crops), accelerator.num_processes)
    # the seed of a fixed crop is its own
    loader: DataLoader = DataLoader(crops, batch_size, sampler=[(index, 0) for index in mine])
    done = 0
    for batch in tqdm(loader, desc="encoding", unit="batch", disable=not accelerator.is_local_main_process):
        count = len(batch["infrared"])
        images = torch.cat([batch["infrared"], batch["visible"]]).to(accelerator.device)
        with accelerator.autocast():
            encoded = model.encode(images).float().cpu().numpy()
        for row, infrared, visible in zip(mine[done : done + count], encoded[:count], encoded[count:]):
            features[row] = np.stack([infrared, visible])
        done += count
    features.flush()


def cache_key(crops: FixedPairCrops, model: MaeFuseModel, config: FeatureCacheConfig, mixed_precision: str) -> str:
    """A name that changes with the encoder's weights, the images, the crops drawn from them and the precision."""
    key = hashlib.blake2b(digest_size=16)
    for name, weight in model.encoder.state_dict().items():
        key.update(name.encode())
        key.update(weight.detach().float().cpu().numpy().tobytes())
    settings = {
        "encoder": model.config.encoder_config.to_diff_dict(),
        "model": [getattr(model.config, name) for name in CONFIG_FIELDS_OF_FEATURES],
        "data": {name: asdict(crops.data)[name] for name in DATA_FIELDS_OF_A_CROP},
        "seed": crops.seed,
        "precision": [config.dtype, mixed_precision],
    }
    key.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for index in tqdm(range(len(crops.pairs)), desc="fingerprint of the pairs", unit="pair", leave=False):
        key.update(crops.pairs[index].tobytes())
    return key.hexdigest()
