import re

import datasets
import numpy as np
import pytest
from conftest import ramp
from PIL import Image

from maefuse_hf.example_scene.scene import render_example_pair
from training.config import DataConfig
from training.data import Pairs, checked_pairs, open_pairs, read_photos, split_by_name, split_pairs, split_stream


def save_pair(folder, name, infrared, visible):
    for half, pixels in (("infrared", infrared), ("visible", visible)):
        (folder / half).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / half / f"{name}.png")


def small(pairs, **fields):
    return DataConfig(**{"pairs": str(pairs), "crop_size": 4, **fields})


def numbered(count):
    return Pairs([str(number) for number in range(count)], lambda index: np.full((2, 4, 4), index))


class TestPairs:
    def test_each_is_decoded_when_asked_for(self):
        asked = []
        pairs = Pairs("abc", lambda index: asked.append(index) or np.zeros((2, 1, 1)))
        assert len(pairs) == 3 and not asked
        pairs[2]
        assert asked == [2]
        assert len(list(pairs)) == 3
        with pytest.raises(IndexError):
            pairs[3]

    def test_selected_ones_keep_their_names(self):
        chosen = numbered(5).select([4, 1]).select([1])
        assert chosen.names == ["1"] and chosen[0].max() == 1

    def test_the_split_is_even_disjoint_and_complete(self):
        training, validation = split_pairs(numbered(10), 2)
        assert validation.names == ["2", "7"] and [pair.max() for pair in validation] == [2, 7]
        assert training.names == ["0", "1", "3", "4", "5", "6", "8", "9"]
        assert [len(part) for part in split_pairs(numbered(10), 0)] == [10, 0]
        with pytest.raises(ValueError, match="10 validation pairs of 10 leave nothing to train on"):
            split_pairs(numbered(10), 10)


class TestSplitByName:
    @pytest.fixture
    def listed(self, tmp_path):
        """Writes a text file of names, and says where it is."""

        def write(file, *names):
            (tmp_path / file).write_text("".join(f"{name}\n" for name in names))
            return str(tmp_path / file)

        return write

    def test_the_listed_ones_are_validated_on_or_left_out(self, listed):
        left_out = (listed("a", "1"), listed("b", "0", "9"))
        training, validation = split_by_name(
            numbered(10), small("", validation_names=listed("v", "7", "2", ""), left_out=left_out)
        )
        assert validation.names == ["2", "7"] and [pair.max() for pair in validation] == [2, 7]
        assert training.names == ["3", "4", "5", "6", "8"] and [pair.max() for pair in training] == [3, 4, 5, 6, 8]

    def test_what_is_left_out_is_not_validated_on_either(self, listed):
        data = small("", validation_names=listed("v", "1", "2"), left_out=(listed("a", "2", "3"),))
        training, validation = split_by_name(numbered(5), data)
        assert (training.names, validation.names) == (["0", "4"], ["1"])

    def test_without_names_it_is_the_even_split_of_what_is_not_left_out(self, listed):
        data = small("", validation_pairs=2, left_out=(listed("a", "0", "1"),))
        training, validation = split_by_name(numbered(12), data)
        assert validation.names == ["4", "9"] and len(training) == 8
        plain = [part.names for part in split_by_name(numbered(10), small("", validation_pairs=2))]
        assert plain == [part.names for part in split_pairs(numbered(10), 2)]

    def test_names_may_hold_spaces_and_dots(self, listed):
        pairs = Pairs(["row 1", "row 2", "scene.v1", "scene.v2"], lambda index: np.zeros((2, 4, 4)))
        training, validation = split_by_name(pairs, small("", validation_names=listed("v", "row 2", "scene.v1")))
        assert (training.names, validation.names) == (["row 1", "scene.v2"], ["row 2", "scene.v1"])

    @pytest.mark.parametrize("field", ["validation_names", "left_out"])
    def test_a_name_that_there_is_not_is_told(self, listed, field):
        path = listed("list", "3", "nobody.png", "somebody")
        data = small("", **{field: path if field == "validation_names" else (path,)})
        with pytest.raises(ValueError, match=r"list names 2 pairs that there are not, nobody\.png for one"):
            split_by_name(numbered(5), data)

    def test_something_must_be_left_to_train_on(self, listed):
        data = small("my pairs", validation_names=listed("v", "0"), left_out=(listed("a", "1", "2"),))
        with pytest.raises(ValueError, match="leave nothing of my pairs to train on"):
            split_by_name(numbered(3), data)

    def test_a_file_that_there_is_not(self):
        with pytest.raises(OSError, match="no_such_file"):
            split_by_name(numbered(3), small("", left_out=("no_such_file.txt",)))


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_pair_is_read_as_luminance_infrared_first_and_deep_images_are_scaled(tmp_path, in_memory):
    colour = np.zeros((4, 5, 3), np.uint8)
    colour[..., 0] = 200
    colour[0, 0] = 255
    deep = (1000 * ramp(4, 5).astype(int)).astype(np.uint16)
    save_pair(tmp_path, "a", deep, colour)
    pairs = checked_pairs(small(tmp_path, in_memory=in_memory))
    pair = pairs[0]
    assert pairs.names == ["a"]
    assert pair.shape == (2, 4, 5) and pair.dtype == np.uint8
    assert pair[0].min() == 0 and pair[0].max() == 255 and len(np.unique(pair[0])) > 5
    assert pair[1, 1, 1] == round(0.299 * 200) and pair[1, 0, 0] == 255
    for half in ("infrared", "visible"):
        (tmp_path / half / "a.png").unlink()
    if in_memory:
        assert np.array_equal(pairs[0], pair)
    else:
        with pytest.raises(OSError, match=r"a\.png"):
            pairs[0]


def test_everything_wrong_is_listed_before_training(tmp_path):
    save_pair(tmp_path, "good", ramp(8, 8), ramp(8, 8))
    save_pair(tmp_path, "unequal", ramp(8, 8), ramp(8, 9))
    save_pair(tmp_path, "tiny", ramp(3, 8), ramp(3, 8))
    save_pair(tmp_path, "broken", ramp(8, 8), ramp(8, 8))
    whole = (tmp_path / "visible" / "broken.png").read_bytes()
    (tmp_path / "visible" / "broken.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "infrared" / "lonely.png").touch()
    with pytest.raises(ValueError) as raised:
        checked_pairs(small(tmp_path))
    first, *listed = str(raised.value).splitlines()
    assert first == f"{tmp_path} has 4 problems. Mend or remove these, then start again:"
    assert f"- {tmp_path / 'infrared' / 'lonely.png'} has no partner lonely.* in {tmp_path / 'visible'}" in listed
    assert "- tiny: it is 3x8, smaller than the crop of 4; lower crop_size or leave it out." in listed
    assert any(line.startswith("- unequal: ") and "(8, 9)" in line for line in listed)
    assert any(line.startswith("- broken: ") and "broken.png" in line for line in listed)


def test_a_folder_without_pairs(tmp_path):
    for half in ("infrared", "visible"):
        (tmp_path / half).mkdir()
    with pytest.raises(ValueError, match="holds no pairs"):
        checked_pairs(small(tmp_path))


def test_a_name_that_is_nothing(tmp_path):
    with pytest.raises(OSError, match=f"Cannot open the pairs {tmp_path / 'none'}. It is no folder of images"):
        open_pairs(small(tmp_path / "none"))


class TestTables:
    @pytest.mark.parametrize("named_by", ["files", "folder"])
    def test_parquet_files_and_the_folder_of_a_dataset(self, parquet_pairs, tmp_path, named_by):
        name = parquet_pairs if named_by == "files" else parquet_pairs.rsplit("/", 1)[0]
        pairs = checked_pairs(DataConfig(pairs=name, crop_size=32))
        assert pairs.names == [f"row {number}" for number in range(6)]
        infrared, visible = render_example_pair(64, 72, seed=3)
        assert np.array_equal(pairs[3], np.stack([np.asarray(one.convert("L")) for one in (infrared, visible)]))

    def test_a_table_without_the_columns(self, tmp_path):
        datasets.Dataset.from_dict({"thermal": [1]}).to_parquet(tmp_path / "a.parquet")
        message = "has no image column infrared and no visible; it has thermal. Rename or cast its columns"
        with pytest.raises(ValueError, match=re.escape(message)):
            open_pairs(small(tmp_path / "*.parquet"))

    @pytest.mark.parametrize("streaming", [False, True])
    def test_a_row_that_cannot_be_decoded_is_named(self, tmp_path, streaming):
        image = {"bytes": b"no image", "path": None}
        features = datasets.Features({name: datasets.Image() for name in ("infrared", "visible")})
        table = datasets.Dataset.from_dict({"infrared": [image], "visible": [image]}, features=features)
        table.to_parquet(tmp_path / "a.parquet")
        data = small(tmp_path / "*.parquet", streaming=streaming, validation_pairs=1)
        with pytest.raises(ValueError, match="row 0: infrared: cannot be read"):
            split_stream(data) if streaming else checked_pairs(data)

    def test_photographs_become_luminance(self, tmp_path):
        table = datasets.Dataset.from_dict({"image": [Image.fromarray(ramp(6, 7)).convert("RGB")]})
        table.to_parquet(tmp_path / "a.parquet")
        (photo,) = read_photos(str(tmp_path / "*.parquet"))
        assert np.array_equal(photo, ramp(6, 7)[None])


def test_columns_of_images_are_read_in_named_formats_alone(tmp_path):
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n{} loop\n"
    cells = [{"bytes": eps, "path": None}]
    table = datasets.Dataset.from_dict({"infrared": cells, "visible": cells, "image": cells})
    for column in table.column_names:
        table = table.cast_column(column, datasets.Image(decode=False))
    table.to_parquet(tmp_path / "pairs.parquet")
    with pytest.raises(ValueError, match=r"row 0: infrared: cannot be read \(it is no image of a known format"):
        checked_pairs(small(tmp_path / "pairs.parquet"))
    with pytest.raises(OSError, match=r"image: cannot be read \(it is no image of a known format"):
        read_photos(str(tmp_path / "pairs.parquet"))


def test_columns_may_hold_paths(tmp_path):
    save_pair(tmp_path, "1", ramp(6, 8), ramp(6, 8)[::-1])
    cells = {half: [{"bytes": None, "path": str(tmp_path / half / "1.png")}] for half in ("infrared", "visible")}
    features = datasets.Features({half: datasets.Image(decode=False) for half in cells})
    datasets.Dataset.from_dict(cells, features=features).to_parquet(tmp_path / "pairs.parquet")
    pair = checked_pairs(small(tmp_path / "pairs.parquet"))[0]
    assert np.array_equal(pair, [ramp(6, 8), ramp(6, 8)[::-1]])
