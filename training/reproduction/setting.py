"""In which setting the experiments are repeated: data, lengths, model, from one YAML."""

from dataclasses import dataclass, field
from typing import Any

from training.config import require


@dataclass(frozen=True)
class Setting:
    """What all experiments have in common (`training/configs/reproduction`)."""

    training_pairs: int
    """How many of the pairs are trained on, spread evenly over those that may be."""
    validation_pairs: int
    """How many pairs the curves are measured on."""
    model: str
    """A trained MaeFuse, by folder or Hub name, whose encoder and decoder are used and stay as they are."""
    epochs: int
    """Epochs of a fusion module's training, an even number: half of them alignment, or all direct (paper: 50)."""
    steps_per_epoch: int
    """Optimizer steps that make an epoch."""
    seeds: tuple[int, ...]
    """Seeds of the runs for which intervals are given; the first is that of all others."""
    learning_rate: float
    """Constant, of all fusion stages."""
    encoder_steps: int
    """Optimizer steps of each encoder that is pretrained here."""
    decoder_steps: int
    """Optimizer steps of each decoder that is trained here."""
    fusion: dict[str, Any]
    """Fields of `MaeFuseConfig` that give the model the paper's form."""
    training: dict[str, Any]
    """Fields of `TrainingConfig` that all runs share."""
    pairs: str | None = None
    """Folder of registered pairs; without one they are rendered."""
    validation_names: str | None = None
    """Text file of names that validation pairs are taken from; without it they are spread over all of them."""
    left_out: tuple[str, ...] = ()
    """Text files of names that are not used."""
    look_epochs: int = 1
    """Epochs between two looks at the validation pairs."""
    variations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Fields of this class in which Fig. 8 is tried with other values, by a name for the runs."""

    def __post_init__(self) -> None:
        for name in ("training_pairs", "validation_pairs", "steps_per_epoch", "look_epochs", "encoder_steps"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")
        fits = self.epochs > 0 and self.epochs % 2 == 0
        require(fits, "epochs", self.epochs, "a positive even number: half of them are alignment")
        require(bool(self.seeds), "seeds", self.seeds, "one number at least")

    @property
    def half(self) -> int:
        """Steps of a stage where there are two."""
        return self.epochs // 2 * self.steps_per_epoch

    @property
    def whole(self) -> int:
        """Steps of a stage that is alone."""
        return self.epochs * self.steps_per_epoch
