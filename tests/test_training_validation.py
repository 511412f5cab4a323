import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import ramp, small_model
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maefuse_hf.losses import gradient_loss, intensity_loss
from training.config import DataConfig
from training.damages import damaged_crop
from training.data import Pairs
from training.stages import STAGES, GuidedStep
from training.validation import Validation, show

WEIGHTS = {"intensity": 1.0, "gradient": 2.0}


def data_of(crop_size, damage_probability=0.0):
    return DataConfig(pairs="", crop_size=crop_size, damage_probability=damage_probability)


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
        "decoded_intensity": intensity_loss(fused, infrared, visible).item(),
        "decoded_gradient": gradient_loss(fused, infrared, visible).item(),
    }
    for batch_size in (2, 7):
        terms = Validation(pairs, data_of(32), batch_size).loss_terms(step, torch.device("cpu"))
        assert {name: terms[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_damaged_crops_are_judged_against_the_undamaged_ones(pairs):
    step = GuidedStep(small_model(source_detail_sigma=2.0), STAGES[-1], WEIGHTS).eval()
    clean = [torch.from_numpy(pair[:, 9:41, 17:49].copy()) / 255 for pair in pairs]
    seen = torch.stack([damaged_crop(crop, torch.Generator().manual_seed(k)) for k, crop in enumerate(clean)])
    clean = torch.stack(clean)
    fused = step.decode(seen[:, :1], seen[:, 1:])
    expected = intensity_loss(fused, clean[:, :1], clean[:, 1:]).item()
    undamaged = Validation(pairs, data_of(32), 7).loss_terms(step, torch.device("cpu"))
    for batch_size in (2, 7):
        terms = Validation(pairs, data_of(32, 0.5), batch_size).loss_terms(step, torch.device("cpu"))
        assert list(terms) == [*undamaged, *(f"damaged_{name}" for name in undamaged)]
        assert {name: terms[name] for name in undamaged} == pytest.approx(undamaged, rel=1e-5)
        assert terms["damaged_fused_intensity"] == pytest.approx(expected, rel=1e-5)
        assert terms["damaged_fused_intensity"] != pytest.approx(undamaged["fused_intensity"], rel=1e-3)


def test_damages_are_the_same_at_every_look_and_leave_the_random_state(pairs):
    before = torch.get_rng_state()
    first, again = (Validation(pairs, data_of(32, 0.1), 2) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert len(first.damaged) == 7
    assert all(torch.equal(one, other) for one, other in zip(first.damaged, again.damaged))
    assert not any(torch.equal(one, crop) for one, crop in zip(first.damaged, first.crops))


def test_damaged_terms_are_logged_by_that_name(pairs, tmp_path):
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(tmp_path))
    accelerator.init_trackers("log")
    step = GuidedStep(small_model(), STAGES[-1], WEIGHTS).train()
    Validation(pairs, data_of(32, 0.5), 2).look(step, step, accelerator, 30)
    accelerator.end_training()
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    terms = ("decoded_intensity", "decoded_gradient", "alignment", "contour_alignment", "block_effect")
    names = {f"mfm_fuse/validation_{kind}{term}" for term in terms for kind in ("", "damaged_")}
    assert set(events.Tags()["scalars"]) == names


def test_without_pairs_there_is_nothing_to_say(pairs):
    nothing = Validation(pairs.select([]), data_of(32), 2)
    step = GuidedStep(small_model(), STAGES[0], WEIGHTS)
    assert nothing.loss_terms(step, torch.device("cpu")) == {} and nothing.images(step) == []


def test_images_show_both_inputs_and_the_result(pairs):
    validation = Validation(pairs, data_of(16), 2)
    shown = validation.images(GuidedStep(small_model(), STAGES[-1], WEIGHTS))
    assert len(shown) == 4
    # the largest multiple of the crop that fits
    assert shown[0].size == (3 * 48, 48)
    first = np.asarray(shown[0])
    assert np.array_equal(first[:, :48], pairs[0][0, 1:49, 9:57])
    assert np.array_equal(first[:, 48:96], pairs[0][1, 1:49, 9:57])
    both_restored = validation.images(GuidedStep(small_model(), STAGES[0], WEIGHTS))[0]
    assert both_restored.size == (4 * 48, 48)


def test_other_pairs_may_be_shown(pairs):
    shown = Pairs("z", [np.full((2, 40, 40), 200, np.uint8)].__getitem__)
    validation = Validation(pairs, data_of(32), 2, shown)
    assert len(validation.crops) == 7
    (pair,) = validation.shown
    assert torch.equal(pair, torch.full((2, 32, 32), 200 / 255))


def test_a_look_logs_shows_and_leaves_the_step_in_training(pairs, tmp_path):
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(tmp_path))
    accelerator.init_trackers("log")
    step = GuidedStep(small_model(), STAGES[-1], WEIGHTS).train()
    validation = Validation(pairs, data_of(32), 2)
    terms = validation.loss_terms(step.eval(), accelerator.device)
    seen = validation.look(step.train(), step, accelerator, 30)
    accelerator.end_training()
    assert seen == f"validation {', '.join(f'{name} {value:.3g}' for name, value in terms.items())}"
    assert step.training and not step.model.encoder.training
    assert len(list((tmp_path / "samples").glob("0000030_mfm_fuse_*.png"))) == 4
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    assert events.Scalars("mfm_fuse/validation_decoded_gradient")[0].value == pytest.approx(terms["decoded_gradient"])
    assert Validation(pairs.select([]), data_of(32), 2).look(step, step, accelerator, 31) == "no validation pairs"


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
