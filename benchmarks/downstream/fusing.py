"""Systems of the downstream check, and the folders that keep their fused images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

import maefuse_hf
from maefuse_hf.evaluation.baselines import average_with_detail, on_grey_levels
from maefuse_hf.evaluation.onnx_system import OnnxSystem
from maefuse_hf.evaluation.provenance import weights_sha256
from maefuse_hf.evaluation.runner import (
    BASELINE_SYSTEMS,
    FolderSystem,
    FormulaSystem,
    LiveSystem,
    ModelSystem,
    System,
    read_sources,
)
from maefuse_hf.evaluation.torchscript import TorchScriptSystem
from maefuse_hf.inference import load_checkpoint
from maefuse_hf.inference.checkpoint import checkpoint_source
from maefuse_hf.inference.pairs import PairPaths

from .detect import named_folder

STACKED = "both stacked"
DATASET = "labelled pairs"
AVERAGE_WITH_DETAIL = FormulaSystem("average + detail", on_grey_levels(average_with_detail))


@dataclass(frozen=True)
class FusedSystem:
    """A system and what its images depend on."""

    system: System
    identity: str
    weights_sha256: dict[str, str] = field(default_factory=dict)
    """Digests of a checkpoint's weight files, or of the ONNX file."""

    @property
    def name(self) -> str:
        """How tables call it."""
        return self.system.name


def systems_of(
    models: Sequence[str | None], exports: Sequence[str], networks: Sequence[str], folders: Sequence[str]
) -> list[FusedSystem]:
    """Models, exports, networks and folders as options name them, then the baselines and the average with detail.

    Args:
        models: checkpoint folders; None is the shipped one.
        exports, networks, folders: NAME=FILE of an ONNX file, of a TorchScript file, NAME=DIR of fused images.

    Raises:
        OSError, ValueError: something that cannot be loaded, or two systems of one name.
    """
    cpu = torch.device("cpu")
    code = sorted(Path(maefuse_hf.__file__).parent.glob("*.py"))
    found = []
    for model in models:
        folder = Path(checkpoint_source(model))
        if not folder.is_dir():
            raise ValueError(f"{folder} is no checkpoint folder.")
        loaded, processor = load_checkpoint(str(folder), "cpu", torch.float32)
        files = [*code, *sorted(folder.glob("*.json")), *sorted(folder.glob("*.safetensors"))]
        system = ModelSystem(folder.resolve().name, loaded, processor)
        found.append(FusedSystem(system, digest(files), weights_sha256(folder)))
    for text in exports:
        name, file = named_folder(text)
        export = OnnxSystem(name, file)
        found.append(FusedSystem(export, digest([file]), {file.name: export.sha256}))
    for text in networks:
        name, file = named_folder(text)
        found.append(FusedSystem(TorchScriptSystem(name, file, cpu), digest([file])))
    for text in folders:
        name, folder = named_folder(text)
        system = FolderSystem(name, {DATASET: folder})
        paths = sorted(path for own in system.images[DATASET].values() for path in own)
        found.append(FusedSystem(system, digest(paths)))
    found += [FusedSystem(system, digest(code)) for system in (*BASELINE_SYSTEMS, AVERAGE_WITH_DETAIL)]
    names = [system.name for system in found]
    for name in names:
        if names.count(name) > 1 or name == STACKED:
            raise ValueError(f"Another system is called {name}; give each its own name, as NAME=…")
    return found


def digest(files: Iterable[Path]) -> str:
    """Eight hexadecimal digits of the files' contents."""
    state = sha256()
    for file in files:
        state.update(file.read_bytes())
    return state.hexdigest()[:8]


def fuse_all(system: FusedSystem, pairs: Sequence[PairPaths], top: Path) -> Path:
    """Fuse the pairs that are not yet fused, with a bar; gives the folder of luminance images NAME.png.

    Raises:
        OSError, ValueError: a pair that the system cannot fuse: all systems are measured on the same pairs.
    """
    folder = top / f"{system.name}-{system.identity}"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [pair for pair in pairs if not (folder / f"{pair.name}.png").is_file()]
    bar = tqdm(missing, desc=f"fusing, {system.name}", unit="pair", total=len(pairs), initial=len(pairs) - len(missing))
    for pair in bar:
        partial = folder.parent / f"{system.name}-{system.identity}.part"
        luminance(system.system, pair).convert("RGB").save(partial, format="PNG", compress_level=1)
        partial.rename(folder / f"{pair.name}.png")
    return folder


def luminance(system: System, pair: PairPaths) -> Image.Image:
    """The fused luminance alone: how a model restores its sources, which `fuse` measures too, takes half its time.

    Raises:
        OSError, ValueError: what the system raises.
    """
    if isinstance(system, LiveSystem):
        return system.fuse_images(*read_sources(pair).values())
    return system.fuse(DATASET, pair).measured
