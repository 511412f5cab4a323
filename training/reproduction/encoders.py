"""The encoder: a pretrained MAE against the same ViT untrained, and against one pretrained by reconstruction alone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import ViTImageProcessorPil, ViTMAEModel

from maefuse_hf import MaeFuseConfig, MaeFuseModel
from maefuse_hf.evaluation.table import Cell, table_of
from maefuse_hf.position_embedding import sincos_position_embedding
from training.config import DataConfig, PretrainingConfig
from training.config_file import build
from training.crops import FixedPairCrops
from training.data import checked_pairs, split_by_name
from training.reproduction.experiment import Experiment, Figure, Section
from training.reproduction.logs import read_log
from training.reproduction.measure import crop_size, decoded, grey, shown_pair
from training.reproduction.plots import image_rows, plot_curves
from training.reproduction.runs import Run
from training.reproduction.study import Study

ENCODER_FIELDS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "patch_size")
DECODER_FIELDS = (
    "decoder_hidden_size",
    "decoder_num_hidden_layers",
    "decoder_num_attention_heads",
    "decoder_intermediate_size",
    "decoder_position_embedding",
)
LIGHT_DECODER = {
    "decoder_hidden_size": 64,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 1,
    "decoder_intermediate_size": 256,
}
"""Of the masked loss; it is thrown away."""

MASK_RATIO = 0.75
UNMASKED_SHARE = {"mae_short": 0.0625, "reconstruction": 1.0}
"""Share of the steps in which nothing is masked: as the shipped encoder was pretrained, and all of them."""

TITLES = {
    "shipped": "MAE, as shipped",
    "mae_short": "MAE, short",
    "reconstruction": "reconstruction only, as short",
    "untrained": "untrained",
}
READ_OUT_CROPS = 128
RIDGE = 1e-4
"""Of the least squares, as a share of the features' mean square."""


def pretraining_run(study: Study, name: str) -> Run:
    """An encoder of the shipped one's shape, pretrained for a short while."""
    setting = study.setting
    config = MaeFuseConfig.from_pretrained(setting.model)
    shape = {name: getattr(config.encoder_config, name) for name in (*ENCODER_FIELDS, "num_channels", "layer_norm_eps")}
    values = {
        "data": {
            "pairs": str(study.pairs),
            "validation_names": str(study.validation_names),
            "crop_size": crop_size(study),
        },
        "encoder": {**shape, **LIGHT_DECODER, "image_size": crop_size(study), "mask_ratio": MASK_RATIO},
        "attn_implementation": "sdpa",
        "image_mean": config.image_mean[0],
        "image_std": config.image_std[0],
        "optimizer": {"schedule": "cosine", "warmup_steps": setting.encoder_steps // 10},
        "steps": setting.encoder_steps,
        "batch_size": 2 * int(setting.training["batch_size"]),
        "unmasked_share": UNMASKED_SHARE[name],
        "checkpoint_steps": setting.encoder_steps,
        "seed": setting.seeds[0],
    }
    return Run(f"pretrain_{name}", build(PretrainingConfig, values))


def fusion_run(study: Study, name: str) -> Run:
    """Decoder and comparative module, by two stages, on one of the encoders."""
    setting, half = study.setting, study.setting.half
    config = MaeFuseConfig.from_pretrained(setting.model)
    encoder = study.folder / "encoders" / name
    stages = {
        "decoder": {"steps": setting.decoder_steps},
        "cfm_align": {"steps": half},
        "cfm_fuse": {"steps": half},
    }
    fields = {**setting.fusion, **{field: getattr(config, field) for field in DECODER_FIELDS}}
    training = study.training(
        setting.seeds[0], stages, encoder=str(encoder), model=fields, start={"decoder_as_read_out": True}
    )
    makers: dict[str, Callable[[Study], ViTMAEModel]] = {"shipped": shipped_encoder, "untrained": untrained_encoder}
    make = makers.get(name, partial(pretrained_encoder, name=name))
    return Run(f"encoder_{name}", training, prepare=partial(save_encoder, study, encoder, make))


def shipped_encoder(study: Study) -> ViTMAEModel:
    """The encoder of the setting's model."""
    return MaeFuseModel.from_pretrained(study.setting.model).encoder


def untrained_encoder(study: Study) -> ViTMAEModel:
    """The same ViT with random weights and the fixed positions."""
    torch.manual_seed(study.setting.seeds[0])
    encoder = ViTMAEModel(MaeFuseConfig.from_pretrained(study.setting.model).encoder_config)
    # MaeFuseConfig takes no other
    assert isinstance(encoder.config.image_size, int) and isinstance(encoder.config.patch_size, int)
    side = encoder.config.image_size // encoder.config.patch_size
    positions = encoder.embeddings.position_embeddings
    positions.data[0, 1:] = sincos_position_embedding(side, side, positions.shape[-1])
    return encoder


def pretrained_encoder(study: Study, name: str) -> ViTMAEModel:
    """What a pretraining run of this study left."""
    return ViTMAEModel.from_pretrained(study.run_folder(f"pretrain_{name}") / "encoder")


def save_encoder(study: Study, folder: Path, make: Callable[[Study], ViTMAEModel]) -> None:
    """Save an encoder with its statistics and the linear read-out that its decoder starts as."""
    encoder = make(study)
    config = MaeFuseConfig.from_pretrained(study.setting.model)
    model = MaeFuseModel.from_encoder(
        encoder,
        image_mean=list(config.image_mean),
        image_std=list(config.image_std),
        position_embedding=study.setting.fusion["position_embedding"],
    ).eval()
    encoder.save_pretrained(folder)
    ViTImageProcessorPil(image_mean=list(config.image_mean), image_std=list(config.image_std)).save_pretrained(folder)
    weight, bias = fit_read_out(model, study)
    save_file({"weight": weight, "bias": bias}, folder / "read_out.safetensors")


@torch.no_grad()
def fit_read_out(model: MaeFuseModel, study: Study) -> tuple[torch.Tensor, torch.Tensor]:
    """The linear map from an encoder's tokens to the pixels of their own patches, by least squares over training crops.

    Pretraining leaves such a map (`pretrain_mae.py`); an encoder that was not pretrained here has none.

    Returns:
        `(patch_values, hidden)` and `(patch_values,)`.
    """
    data = DataConfig(
        pairs=str(study.pairs),
        validation_names=str(study.validation_names),
        crop_size=crop_size(study),
        crops_per_pair=1,
    )
    training, _ = split_by_name(checked_pairs(data), data)
    crops = FixedPairCrops(training, data, study.setting.seeds[0])
    few = [crops[number, 0] for number in range(min(READ_OUT_CROPS, len(crops)))]
    images = torch.stack([crop[name] for crop in few for name in ("infrared", "visible")])
    features = torch.cat([model.encode(batch) for batch in images.split(8)]).flatten(0, 1).double()
    pixels = model.normalize(images)
    # rows, columns and channels of a patch in the order in which the decoder predicts them
    side = model.patch_size
    patches = (
        pixels.unflatten(2, (-1, side)).unflatten(4, (-1, side)).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(0, 2)
    )
    inputs = nn.functional.pad(features, (0, 1), value=1.0)
    gram = inputs.T @ inputs
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    solved = torch.linalg.solve(gram + ridge, inputs.T @ patches.double()).float()
    return solved[:-1].T.contiguous(), solved[-1].contiguous()


def runs(study: Study) -> list[Run]:
    """Both short pretrainings, then decoder and fusion on each encoder."""
    return [
        *(fusion_run(study, name) for name in ("shipped", "untrained")),
        *(pretraining_run(study, name) for name in UNMASKED_SHARE),
        *(fusion_run(study, name) for name in UNMASKED_SHARE),
    ]


def section(study: Study) -> Section:
    """What can be read out of each encoder's features, and how far fusion comes with them."""
    setting = study.setting
    logs = {title: read_log(study.run_folder(f"encoder_{name}")) for name, title in TITLES.items()}
    columns = {
        "single images, MSE": "reconstruction",
        "gradient": "decoded_gradient",
        "intensity": "decoded_intensity",
        "Eq. 5": "alignment",
        "block effect": "block_effect",
    }
    rows: list[list[Cell | str]] = [
        [
            Cell(title),
            *(
                f"{log.last(term):.2e}" if term == "reconstruction" else f"{log.last(term):.4f}"
                for term in columns.values()
            ),
        ]
        for title, log in logs.items()
    ]
    panels = {
        title: {name: [log.validation(term)] for name, log in logs.items()}
        for title, term in (("gradient", "decoded_gradient"), ("L1 (intensity)", "decoded_intensity"))
    }
    shown = shown_pair(study)
    images = {
        title: grey(decoded(study.run_folder(f"encoder_{name}") / "final", shown, "cfm"))
        for name, title in TITLES.items()
    }
    ends = {title: log.last("decoded_gradient") + log.last("decoded_intensity") for title, log in logs.items()}
    ranked = sorted(ends, key=ends.__getitem__)
    mae, reconstruction = TITLES["mae_short"], TITLES["reconstruction"]
    return Section(
        finding=(
            f"Intensity plus gradient after the same fusion training, from the lowest: "
            f"{', '.join(f'{title} {ends[title]:.4f}' for title in ranked)}. Masking "
            f"{'helps' if ends[mae] < ends[reconstruction] else 'does not help'} at equal length. One seed."
        ),
        figures=[
            Figure(
                "encoders_curves",
                plot_curves(panels, setting.steps_per_epoch),
                f"Comparative module on each encoder, after {setting.decoder_steps} steps of its decoder; validation "
                "pairs.",
            ),
            Figure("encoders", image_rows({"": images}, side=2.4), "A rendered pair at the end."),
        ],
        tables=[
            (
                "Validation crops at the end of decoder stage (first column) and run.",
                table_of(["encoder", *columns], rows),
            )
        ],
        remarks=[
            f"The short pretrainings have {setting.encoder_steps} steps of {2 * int(setting.training['batch_size'])} "
            "crops, far fewer than the shipped encoder (docs/training.md); only these two compare at equal length. All "
            "decoders start as a linear read-out by least squares. Eq. 5 depends on the scale of an encoder's "
            "features and compares within a row only."
        ],
    )


EXPERIMENT = Experiment(
    "encoder",
    "The encoder: MAE against the same ViT untrained and against reconstruction only",
    "The paper's premise: features of a pretrained MAE hold low- and high-level information, so that a simple fusion "
    "network suffices. It shows no such comparison.",
    runs,
    section,
)
