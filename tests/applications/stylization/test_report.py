"""Pairs in folders, their scores, and the table, plot and page of them."""

import json
import logging
import math

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.applications.stylization import photo_pairs, report
from vgg_unpool_jax.applications.stylization.metrics import BLOCKS
from vgg_unpool_jax.applications.stylization.photo_pairs import (
    StyleScore,
    list_style_pairs,
)
from vgg_unpool_jax.applications.stylization.report import (
    StylePoint,
    plot_structure_against_style,
    score_record,
    style_points,
    style_table,
    style_taken,
)
from vgg_unpool_jax.errors import PhotoError, SourceError
from vgg_unpool_jax.evaluation.pictures import contact_sheet
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.ops.moments import measure_moments

RNG = np.random.default_rng


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def noise(seed, size=(24, 30)):
    return RNG(seed).integers(0, 256, (*size, 3))


class PixelMeter:
    """Moments of the pixels themselves at every level: no network."""

    def measure(self, photo, labels=None):
        labels = np.zeros(photo.shape[:2], int) if labels is None else labels
        regions = {
            int(label): measure_moments(photo[labels == label])
            for label in np.unique(labels)
        }
        return dict.fromkeys(BLOCKS, regions)


def reductions(covariance):
    kinds = {"covariance": covariance, "gram": 0.25, "mean": 0.125}
    return dict.fromkeys(BLOCKS, kinds) | {5: dict.fromkeys(kinds, -1.0)}


def score(method, pair, edges, covariance, regions=None):
    regions = None if regions is None else reductions(regions)
    return StyleScore(method, pair, edges, reductions(covariance), regions)


def test_pairs_are_found_by_name_and_what_lacks_a_photo_is_told(tmp_path):
    for name in ("content/b.png", "content/a.jpg", "style/a.png", "style/b.png"):
        save(tmp_path / name, noise(0))
    for name in ("content_segment/a.png", "style_segment/a.png", "style/c.png"):
        save(tmp_path / name, noise(0))
    save(tmp_path / "content_segment/b.png", noise(0))
    (tmp_path / "content" / "README.md").write_text("no photo")
    pairs, left_out = list_style_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert pairs[0].content.name == "a.jpg" and pairs[0].masks is not None
    assert pairs[1].masks is None and pairs[1].read_labels() is None
    assert left_out == ["c has no content: left out"]
    with pytest.raises(SourceError, match="no photos of the same name"):
        list_style_pairs(tmp_path / "style")


def test_scores_of_baselines_and_of_results_from_folders(tmp_path, caplog):
    content, style = noise(1), noise(2, (28, 20)) // 3
    save(tmp_path / "content/a.png", content)
    save(tmp_path / "style/a.png", style)
    save(tmp_path / "copied/a.png", content)
    (tmp_path / "empty").mkdir()
    (pair,), _ = list_style_pairs(tmp_path)
    folders = {"copied": tmp_path / "copied", "empty": tmp_path / "empty"}
    kept = {}
    with caplog.at_level(logging.WARNING):
        scores = list(
            photo_pairs.score_pair(
                PixelMeter(), pair, folders, lambda _, m, p: kept.update({m: p})
            )
        )
    assert "has no result for a" in caplog.text
    by_method = {s.method: s for s in scores}
    assert list(by_method) == ["content", "Reinhard", "copied"]
    assert list(kept) == ["content", "style", "Reinhard", "copied"]
    for method in ("content", "copied"):
        assert by_method[method].edge_ssim == pytest.approx(1)
        assert style_taken(by_method[method]) == 0
    assert style_taken(by_method["Reinhard"]) > 0.5
    assert all(s.regions is None for s in scores)


def test_regions_are_scored_beside_the_whole(tmp_path, monkeypatch):
    content, style = noise(1), noise(2)
    style[:, :15] //= 4
    labels = np.repeat(np.arange(30)[None] >= 15, 24, axis=0).astype(int)
    save(tmp_path / "content/a.png", content)
    save(tmp_path / "style/a.png", style)
    (pair,), _ = list_style_pairs(tmp_path)
    monkeypatch.setattr(
        photo_pairs.StylePair, "read_labels", lambda _: (labels, labels)
    )
    scores = {s.method: s for s in photo_pairs.score_pair(PixelMeter(), pair, {})}
    assert list(scores) == ["content", "Reinhard", "Reinhard, masks"]
    taken = {m: style_taken(s, by_region=True) for m, s in scores.items()}
    assert taken["content"] == 0
    assert taken["Reinhard, masks"] > max(0.5, taken["Reinhard"])


def test_results_of_another_size_are_resampled_and_said(tmp_path, caplog):
    smooth = np.add.outer(np.arange(48), np.arange(60))[..., None].repeat(3, axis=2)
    save(tmp_path / "a.png", smooth[:, :54])
    with caplog.at_level(logging.WARNING):
        result = photo_pairs.read_result(tmp_path / "a.png", np.zeros((96, 116, 3)))
    assert result.shape == (96, 116, 3)
    assert "resampled from 54×48 to 116×96" in caplog.text
    with pytest.raises(PhotoError, match="54×48 pixels, which is no result for 20×96"):
        photo_pairs.read_result(tmp_path / "a.png", np.zeros((96, 20, 3)))


def test_style_taken_is_the_covariance_of_blocks_1_to_4():
    assert style_taken(score("ours", "a", 0.5, 0.75)) == 0.75
    assert math.isnan(style_taken(score("ours", "a", 0.5, 0.75), by_region=True))
    assert style_taken(score("ours", "a", 0.5, 0.75, 0.5), by_region=True) == 0.5


def test_the_table_has_means_over_the_pairs_that_there_are():
    scores = [
        score("ours|x", "a", 0.5, 0.75, regions=0.25),
        score("ours|x", "b", 0.25, 0.5),
        score("other", "b", 0.125, 0.375),
    ]
    whole, regions, pairs = style_table(scores).split("## ")[1:]
    rows = [line for line in whole.splitlines() if line.startswith("|")]
    assert rows[2].startswith("| ours\\|x | 2 | 0.375 | 62.5 % | 62.5 % |")
    assert rows[3].startswith("| other | 1 | 0.125 | 37.5 % |")
    assert rows[2].endswith("| 12.5 % | -100.0 % |")
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert "ours\\|x | 1 | 0.375 | 25.0 %" in regions and "other" not in regions
    assert "| b | other | 0.125 | 37.5 % | - | 37.5 % |" in pairs
    assert style_points(scores) == [
        StylePoint("ours|x", 0.375, 0.625),
        StylePoint("other", 0.125, 0.375),
    ]
    with pytest.raises(ValueError, match="scores is empty"):
        style_table([])


def test_scores_can_be_stored(tmp_path):
    record = score_record(score("ours", "a", 0.5, 0.75))
    write_results(tmp_path / "results.json", {"scores": [record]})
    (back,) = json.loads((tmp_path / "results.json").read_text())["scores"]
    assert back["whole"]["4"]["covariance"] == 0.75 and back["regions"] is None


def centre(picture, colour):
    rgb = np.frombuffer(bytes.fromhex(colour), np.uint8)
    rows, columns = np.nonzero((picture[:, :840] == rgb).all(axis=2))
    return rows.mean(), columns.mean()


def test_points_stand_where_their_numbers_say(tmp_path):
    points = [
        StylePoint("first $x^2$", 0.9, 0.1),
        StylePoint("second", 0.5, 0.9),
        StylePoint("third", 0.5, 0.5),
    ]
    path = tmp_path / "deep" / "plot.png"
    picture = plot_structure_against_style(points, path)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    first, second, third = (
        centre(picture, colour) for colour in ("1f77b4", "ff7f0e", "2ca02c")
    )
    assert first[0] < second[0] - 100 and abs(second[0] - third[0]) < 2
    assert first[1] < third[1] < second[1]
    assert third[1] == pytest.approx((first[1] + second[1]) / 2, abs=2)


def test_a_contact_sheet_has_a_row_per_pair_and_a_column_per_method():
    def flat(shade, size):
        return np.full((*size, 3), float(shade))

    rows = {
        "a": {"content": flat(10, (40, 80)), "ours": flat(20, (40, 80))},
        "b": {"content": flat(30, (80, 80)), "ours": flat(300, (80, 80))},
        "c": {"ours": flat(50, (80, 40))},
    }
    titles = {("a", "ours"): "ours × 1"}
    sheet = contact_sheet(rows, titles=titles, height=40)
    step = 40 + 20 + 4
    assert sheet.shape == (3 * step + 4, 2 * 80 + 3 * 4, 3)

    def picture(row, left, width):
        top = 4 + row * step + 20
        return sheet[top : top + 40, left : left + width]

    assert (picture(0, 4, 80) == 10).all() and (picture(0, 88, 80) == 20).all()
    assert (picture(1, 4, 40) == 30).all() and (picture(1, 88, 40) == 255).all()
    assert (picture(2, 4, 80) == 255).all() and (picture(2, 88, 20) == 50).all()
    caption = sheet[4:24, 88:168]
    assert (caption < 100).any() and caption[0, 0, 0] == 255


def test_captions_carry_the_numbers():
    titles = report.captions([score("ours", "a", 0.5, 0.75)])
    assert titles == {("a", "ours"): "ours  edges 0.50  style 75.0 %"}
