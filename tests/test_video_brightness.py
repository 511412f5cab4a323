import pytest
import torch

from maefuse_hf.video.brightness import BrightnessSmoother

SIZE = (1, 1, 64, 80)


def image(seed: int) -> torch.Tensor:
    return 0.2 + 0.6 * torch.rand(SIZE, generator=torch.Generator().manual_seed(seed))


def test_a_video_without_change_stays_as_it_was_fused():
    fused, infrared, visible = image(0), image(1), image(2)
    smoother = BrightnessSmoother(2.0)
    for _ in range(4):
        assert torch.allclose(smoother.smooth(fused, infrared, visible, 0.04), fused, atol=1e-6)


def test_without_smoothing_every_frame_is_as_it_was_fused():
    smoother = BrightnessSmoother(0)
    for seed in range(3):
        fused = image(seed)
        assert smoother.smooth(fused, image(7), image(8), 0.04) is fused


def test_where_the_sources_stay_brightness_moves_by_its_share_of_the_time():
    infrared, visible, fused = image(1), image(2), torch.full(SIZE, 0.5)
    smoother = BrightnessSmoother(2.0)
    smoother.smooth(fused, infrared, visible, 0.04)
    # 1 - exp(-0.5 / 2) = 0.2212 of a step of 0.1
    stepped = smoother.smooth(fused + 0.1, infrared, visible, 0.5)
    assert stepped.numpy() == pytest.approx(0.5 + 0.02212, abs=1e-5)
    # another 0.5 s: 1 - exp(-1 / 2) = 0.3935 in all
    stepped = smoother.smooth(fused + 0.1, infrared, visible, 0.5)
    assert stepped.numpy() == pytest.approx(0.5 + 0.03935, abs=1e-5)


def test_detail_is_never_smoothed():
    infrared, visible = image(1), image(2)
    detail = torch.zeros(SIZE)
    detail[..., ::2, 0::2] = detail[..., 1::2, 1::2] = 0.1
    detail[..., ::2, 1::2] = detail[..., 1::2, 0::2] = -0.1
    smoother = BrightnessSmoother(2.0)
    smoother.smooth(torch.full(SIZE, 0.5), infrared, visible, 0.04)
    assert torch.allclose(smoother.smooth(0.5 + detail, infrared, visible, 0.04), 0.5 + detail, atol=1e-6)


@pytest.mark.parametrize("changing", [0, 1])
def test_where_a_source_changes_the_frame_is_as_it_was_fused_and_elsewhere_held(changing):
    sources, fused = [image(1), image(2)], torch.full(SIZE, 0.5)
    smoother = BrightnessSmoother(2.0)
    smoother.smooth(fused, *sources, 0.04)
    changed = [source.clone() for source in sources]
    changed[changing][..., :32] += 0.2
    out = smoother.smooth(fused + 0.1, *changed, 0.04)
    assert torch.allclose(out[..., :16], torch.tensor(0.6), atol=1e-5)
    assert torch.allclose(out[..., 64:], torch.tensor(0.5 + 0.1 * 0.0198), atol=1e-4)
    # and the changed place is held from then on
    out = smoother.smooth(fused, *changed, 0.04)
    assert torch.allclose(out[..., :16], torch.tensor(0.6 - 0.1 * 0.0198), atol=1e-4)


def test_noise_does_not_count_as_change():
    smoother, fused = BrightnessSmoother(2.0), torch.full(SIZE, 0.5)
    noisy = [0.5 + 3 / 255 * torch.randn(SIZE, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    smoother.smooth(fused, noisy[0], noisy[1], 0.04)
    assert smoother.smooth(fused + 0.1, noisy[2], noisy[3], 0.04).max() < 0.51


def test_another_size_starts_anew():
    smoother = BrightnessSmoother(2.0)
    smoother.smooth(image(0), image(1), image(2), 0.04)
    other = torch.rand(1, 1, 24, 24)
    assert torch.equal(smoother.smooth(other, other, other, 0.04), other)
