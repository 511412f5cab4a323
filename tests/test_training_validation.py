import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import ramp, small_model
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maefuse_hf.losses import gradient_loss, intensity_loss
from training.data import Pairs
from training.stages import STAGES, GuidedStep
from training.validation import Validation, show

WEIGHTS = {"intensity": 1.0, "gradient": 2.0}


@pytest.fixture
def pairs():
    images = [np.stack([ramp(50, 66), ramp(50, 66)[::-1, ::-1] - number]) for number in range(7)]
    return Pairs("abcdefg", images.__getitem__)


def test_terms_are_means_over_the_middle_crops_whatever_the_batch(pairs):
    step = GuidedStep(small_model(), STAGES[-1], WEIGHTS).eval()
    crops = torch.stack([torch.from_numpy(pair[:, 9:41, 17:49].copy()) / 255 for pair in pairs])
    infrared, visible = crops[:, :1], crops[:, 1:]
    fused = step.decode(infrared, visible)
    expected = {
        "intensity": intensity_loss(fused, infrared, visible).item(),
        "gradient": gradient_loss(fused, infrared, visible).item(),
    }
    for batch_size in (2, 7):
        terms = Validation(pairs, 32, batch_size).loss_terms(step, torch.device("cpu"))
        assert terms == pytest.approx(expected, rel=1e-5)


def test_without_pairs_there_is_nothing_to_say(pairs):
    nothing = Validation(pairs.select([]), 32, 2)
    step = GuidedStep(small_model(), STAGES[0], WEIGHTS)
    assert nothing.loss_terms(step, torch.device("cpu")) == {} and nothing.images(step) == []


def test_images_show_both_inputs_and_the_result(pairs):
    validation = Validation(pairs, 16, 2)
    shown = validation.images(GuidedStep(small_model(), STAGES[-1], WEIGHTS))
    assert len(shown) == 4
    # the largest multiple of the crop that fits
    assert shown[0].size == (3 * 48, 48)
    first = np.asarray(shown[0])
    assert np.array_equal(first[:, :48], pairs[0][0, 1:49, 9:57])
    assert np.array_equal(first[:, 48:96], pairs[0][1, 1:49, 9:57])
    both_restored = validation.images(GuidedStep(small_model(), STAGES[0], WEIGHTS))[0]
    assert both_restored.size == (4 * 48, 48)


def test_a_look_logs_shows_and_leaves_the_step_in_training(pairs, tmp_path):
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(tmp_path))
    accelerator.init_trackers("log")
    step = GuidedStep(small_model(), STAGES[-1], WEIGHTS).train()
    validation = Validation(pairs, 32, 2)
    terms = validation.loss_terms(step, accelerator.device)
    seen = validation.look(step, step, accelerator, 30)
    accelerator.end_training()
    assert seen == f"validation intensity {terms['intensity']:.3g}, gradient {terms['gradient']:.3g}"
    assert step.training and not step.model.encoder.training
    assert len(list((tmp_path / "samples").glob("0000030_mfm_fuse_*.png"))) == 4
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    assert events.Scalars("mfm_fuse/validation_gradient")[0].value == pytest.approx(terms["gradient"])
    assert Validation(pairs.select([]), 32, 2).look(step, step, accelerator, 31) == "no validation pairs"


def test_images_are_saved_and_logged(tmp_path):
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(tmp_path))
    accelerator.init_trackers("log")
    image = Image.fromarray(ramp(4, 12))
    show(accelerator, [image, image], tmp_path / "samples", "decoder", 12)
    accelerator.end_training()
    names = ["0000012_decoder_0.png", "0000012_decoder_1.png"]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == names
    assert np.array_equal(np.asarray(Image.open(tmp_path / "samples" / names[0])), ramp(4, 12))
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    assert events.Tags()["images"] == ["decoder/0", "decoder/1"]
    assert events.Images("decoder/0")[0].step == 12
