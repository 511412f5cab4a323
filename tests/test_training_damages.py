import pytest
import torch

from training import damages
from training.damages import DAMAGES, INFRARED, SECOND_DAMAGE_PROBABILITY, VISIBLE, damaged_crop, damaged_image

KINDS = [damage for damage, _ in DAMAGES]
SEEDS = range(25)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def channel():
    """Something with structure and texture at every grey value that a crop may have."""
    generator = seeded(5)
    slope = torch.linspace(0.1, 0.9, 40)[:, None] * torch.linspace(0.5, 1, 48)
    return (slope + 0.1 * torch.rand(40, 48, generator=generator)).clamp(0, 1)


class TestEveryKind:
    @pytest.mark.parametrize("damage", KINDS, ids=lambda damage: damage.__name__)
    def test_it_keeps_shape_and_finite_values_and_mostly_changes_something(self, damage, channel):
        changed = 0
        for seed in SEEDS:
            before = channel.clone()
            result = damage(channel, seeded(seed))
            assert torch.equal(channel, before)
            assert result.shape == channel.shape and result.dtype == torch.float32 and result.isfinite().all()
            changed += (result.clamp(0, 1) - channel).abs().max().item() > 1 / 255
        assert changed >= 0.75 * len(SEEDS)

    @pytest.mark.parametrize("damage", KINDS, ids=lambda damage: damage.__name__)
    def test_the_seed_alone_decides(self, damage, channel):
        first = damage(channel, seeded(3))
        torch.rand(7)
        assert torch.equal(damage(channel, seeded(3)), first)
        results = [damage(channel, seeded(seed)) for seed in range(6)]
        assert sum(torch.equal(results[0], result) for result in results) < 3

    @pytest.mark.parametrize("damage", KINDS, ids=lambda damage: damage.__name__)
    def test_it_takes_flat_black_and_white_images(self, damage):
        for level in (0.0, 1.0):
            for seed in range(5):
                assert damage(torch.full((16, 20), level), seeded(seed)).isfinite().all()


class TestKinds:
    """What each of them is, seen on an even image."""

    EVEN = torch.full((64, 48), 0.5)

    def results(self, damage, image=None):
        return [damage(self.EVEN if image is None else image, seeded(seed)) for seed in SEEDS]

    def test_noise_is_without_mean_and_of_drawn_strength(self):
        strengths = [(result - 0.5).std().item() for result in self.results(damages.noise)]
        assert 0.01 < min(strengths) < 0.04 and 0.1 < max(strengths) < 0.22
        for result, strength in zip(self.results(damages.noise), strengths):
            assert result.mean().item() == pytest.approx(0.5, abs=5 * strength / self.EVEN.numel() ** 0.5)

    def test_stripes_are_one_offset_a_column_and_one_a_row(self):
        results = self.results(damages.stripes)
        for result in results:
            offsets = result - result.mean(0, keepdim=True) - result.mean(1, keepdim=True) + result.mean()
            assert offsets.abs().max() < 1e-6
        strengths = torch.stack([result.std() for result in results])
        assert strengths.median() > 0.01 and strengths.max() < 0.2

    def test_coarse_is_even_where_the_image_is_and_loses_what_is_fine(self, channel):
        assert all(torch.allclose(result, self.EVEN, atol=1e-5) for result in self.results(damages.coarse))
        checks = (torch.arange(64)[:, None] + torch.arange(48)).remainder(2).float()
        assert all(result.std() < 0.45 for result in self.results(damages.coarse, checks))

    def test_partial_leaves_a_straight_edged_part_and_one_level_elsewhere(self):
        levels = set()
        for result in self.results(damages.partial, channel := torch.linspace(0.2, 0.8, 3072).view(64, 48)):
            lost = result != channel
            if lost.any():
                assert len(result[lost].unique()) == 1
                levels.add(result[lost][0].item())
            seen = ~lost
            if seen.any():
                # a rectangle: the pixels seen are the product of the rows and columns seen
                assert torch.equal(seen, seen.any(1)[:, None] & seen.any(0)[None])
        assert 0.0 in levels and len(levels) > 3

    def test_dead_pixels_are_few_and_single(self):
        shares = [(result != 0.5).float().mean().item() for result in self.results(damages.dead_pixels)]
        assert 0 < max(shares) < 0.1
        levels = [result[result != 0.5] for result in self.results(damages.dead_pixels)]
        assert any(set(level.tolist()) == {0.0, 1.0} for level in levels)

    def test_dead_blocks_are_even_rectangles(self):
        for result in self.results(damages.dead_blocks):
            assert len(result.unique()) <= 7
            assert (result.diff(dim=0) != 0).any(1).sum() <= 12 and (result.diff(dim=1) != 0).any(0).sum() <= 12

    def test_blur_keeps_the_mean_and_takes_contrast(self, channel):
        for result in self.results(damages.blur, channel):
            assert result.mean().item() == pytest.approx(channel.mean().item(), abs=0.02)
            assert result.diff(dim=1).abs().mean() < 0.75 * channel.diff(dim=1).abs().mean()

    def test_low_light_is_darker_and_noisy(self):
        for result in self.results(damages.low_light):
            assert 0.02 < result.mean() < 0.31
            assert 0.001 < result.std() < 0.06

    def test_glare_only_adds_and_fades_with_distance(self):
        added = [result - self.EVEN for result in self.results(damages.glare)]
        assert all(light.min() >= 0 for light in added)
        assert max(light.max().item() for light in added) > 1
        # no steps: light at most halves or doubles every few pixels
        assert all((light.diff(dim=0).abs() <= 0.5 * light[1:] + 0.2).all() for light in added)

    def test_over_exposure_multiplies(self, channel):
        for result in self.results(damages.over_exposure, channel):
            factors = result / channel
            assert torch.allclose(factors, factors[:1, :1].expand_as(factors), rtol=1e-4)
            assert 1.3 <= factors[0, 0] <= 6.01

    def test_haze_is_a_mixture_with_one_light_grey_row_by_row(self, channel):
        for result in self.results(damages.haze, channel):
            # the slope within a row is what is left of the image
            left = (result[:, :1] - result[:, 1:2]) / (channel[:, :1] - channel[:, 1:2])
            assert torch.allclose(result - left * channel, (result - left * channel)[:, :1].expand(-1, 48), atol=1e-3)
            assert (left > 0.04).all() and (left <= 1.001).all()
            assert torch.allclose(left.diff(n=2, dim=0), torch.zeros(38, 1), atol=1e-3)

    def test_smoke_lies_between_the_image_and_grey(self):
        white, black = self.results(damages.smoke, torch.ones(64, 48)), self.results(damages.smoke, torch.zeros(64, 48))
        for over_white, over_black in zip(white, black):
            # what is left of the image between them is one minus the opacity
            left = over_white - over_black
            assert left.min() > 0.019 and left.max() <= 1.0001
            assert left.diff(dim=0).abs().max() < 0.5


class TestDamagedCrop:
    CROP = torch.rand(2, 32, 40, generator=seeded(9)) * 0.8 + 0.1

    def test_it_stays_in_the_range_and_leaves_its_input(self):
        crop = self.CROP.clone()
        for seed in range(60):
            damaged = damaged_crop(crop, seeded(seed))
            assert damaged.shape == crop.shape and damaged.isfinite().all()
            assert damaged.min() >= 0 and damaged.max() <= 1
        assert torch.equal(crop, self.CROP)

    def test_the_seed_alone_decides(self):
        first = damaged_crop(self.CROP, seeded(1))
        torch.rand(3)
        assert torch.equal(damaged_crop(self.CROP, seeded(1)), first)
        assert not torch.equal(damaged_crop(self.CROP, seeded(2)), first)

    def test_one_damage_or_two_each_on_an_image_that_it_may_hit(self, monkeypatch):
        calls = []

        def marked(kind):
            def damage(channel, random):
                calls[-1].append((kind, round(channel.mean().item())))
                return channel

            return damage

        marks = tuple((marked(kind), hits) for kind, (_, hits) in enumerate(DAMAGES))
        monkeypatch.setattr(damages, "DAMAGES", marks)
        # the infrared image is black and the visible one white, so that each tells which it is
        crop = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])
        for seed in range(600):
            calls.append([])
            damaged_crop(crop, seeded(seed))
        counts = [len(each) for each in calls]
        assert set(counts) == {1, 2}
        assert counts.count(2) / 600 == pytest.approx(SECOND_DAMAGE_PROBABILITY, abs=0.08)
        seen = [call for each in calls for call in each]
        for kind, (_, hits) in enumerate(DAMAGES):
            channels = [channel for which, channel in seen if which == kind]
            assert set(channels) == set(hits)
            assert len(channels) / len(seen) == pytest.approx(1 / len(DAMAGES), abs=0.04)

    def test_a_kind_is_drawn_as_often_as_its_weight_says(self, monkeypatch):
        seen = []

        def often(channel, random):
            seen.append("often")
            return channel

        def seldom(channel, random):
            seen.append("seldom")
            return channel

        monkeypatch.setattr(damages, "DAMAGES", ((often, (VISIBLE,)), (seldom, (INFRARED,))))
        monkeypatch.setattr(damages, "SECOND_DAMAGE_PROBABILITY", 0.0)
        for draw in (damaged_crop, lambda crop, *rest: damaged_image(crop[:1], *rest)):
            seen.clear()
            for seed in range(400):
                draw(self.CROP, seeded(seed), {"often": 4.0})
            assert seen.count("often") / 400 == pytest.approx(0.8, abs=0.08)

    def test_what_comes_back_is_clipped_and_in_8_bits(self, monkeypatch):
        monkeypatch.setattr(damages, "DAMAGES", ((lambda channel, random: 3 * channel - 1, (VISIBLE,)),))
        monkeypatch.setattr(damages, "SECOND_DAMAGE_PROBABILITY", 0.0)
        damaged = damaged_crop(self.CROP, seeded(0))
        assert torch.equal(damaged[INFRARED], self.CROP[INFRARED])
        assert torch.equal(damaged[VISIBLE], (255 * (3 * self.CROP[VISIBLE] - 1).clamp(0, 1)).round() / 255)


class TestDamagedImage:
    IMAGE = TestDamagedCrop.CROP[:1]

    def test_any_kind_hits_an_image_of_any_sensor(self, monkeypatch):
        seen = []
        marks = tuple((lambda channel, random, kind=kind: seen.append(kind) or channel, ()) for kind in range(3))
        monkeypatch.setattr(damages, "DAMAGES", marks)
        monkeypatch.setattr(damages, "SECOND_DAMAGE_PROBABILITY", 0.0)
        for seed in range(60):
            damaged_image(self.IMAGE, seeded(seed))
        assert len(seen) == 60 and set(seen) == {0, 1, 2}

    def test_the_seed_alone_decides_and_the_image_stays(self):
        before, first = self.IMAGE.clone(), damaged_image(self.IMAGE, seeded(4))
        torch.rand(3)
        assert torch.equal(damaged_image(self.IMAGE, seeded(4)), first) and torch.equal(self.IMAGE, before)
        assert first.shape == self.IMAGE.shape and not torch.equal(first, before)
        assert torch.allclose(first * 255, (first * 255).round(), atol=1e-4)
