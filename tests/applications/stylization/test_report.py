"""Pairs in folders, the table of their scores, and contact sheets."""

import dataclasses
import logging

import numpy as np
from PIL import Image

from vgg_unpool_jax.applications.stylization import photo_pairs
from vgg_unpool_jax.applications.stylization.metrics import BLOCKS
from vgg_unpool_jax.applications.stylization.photo_pairs import (
    StyleScore,
    list_style_pairs,
)
from vgg_unpool_jax.applications.stylization.report import (
    StylePoint,
    style_points,
    style_table,
)
from vgg_unpool_jax.evaluation.pictures import contact_sheet

RNG = np.random.default_rng


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def noise(seed, size=(24, 30)):
    return RNG(seed).integers(0, 256, (*size, 3))


def reductions(covariance):
    kinds = {"covariance": covariance, "gram": 0.25, "mean": 0.125}
    return dict.fromkeys(BLOCKS, kinds) | {5: dict.fromkeys(kinds, -1.0)}


def score(method, pair, edges, covariance, regions=None):
    regions = None if regions is None else reductions(regions)
    by_region = None if regions is None else 2.0
    others = edges / 2, 3.0, by_region, 0.25, 0.125
    return StyleScore(method, pair, edges, reductions(covariance), regions, *others)


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


def test_results_of_another_size_are_resampled_and_said(tmp_path, caplog):
    smooth = np.add.outer(np.arange(48), np.arange(60))[..., None].repeat(3, axis=2)
    save(tmp_path / "a.png", smooth[:, :54])
    with caplog.at_level(logging.WARNING):
        result = photo_pairs.read_result(tmp_path / "a.png", np.zeros((96, 116, 3)))
    assert result.shape == (96, 116, 3)
    assert "resampled from 54×48 to 116×96" in caplog.text


def test_the_table_has_means_over_the_pairs_that_there_are():
    scores = [
        score("ours|x", "a", 0.5, 0.75, regions=0.25),
        score("ours|x", "b", 0.25, 0.5),
        score("other", "b", 0.125, 0.375),
    ]
    whole, regions, pairs = style_table(scores).split("## ")[1:]
    rows = [line for line in whole.splitlines() if line.startswith("|")]
    assert rows[2].startswith(
        "| ours\\|x | 2 | 0.375 | 0.188 | 3.00 | 0.25 | 0.125 | 62.5 % |"
    )
    assert rows[3].startswith(
        "| other | 1 | 0.125 | 0.062 | 3.00 | 0.25 | 0.125 | 37.5 % |"
    )
    assert rows[2].endswith("| 12.5 % | -100.0 % |")
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert (
        "ours\\|x | 1 | 0.500 | 0.250 | 2.00 | 0.125 | 25.0 %" in regions
        and "other" not in regions
    )
    assert "| b | other | 0.125 | 0.062 | 3.00 | 37.5 % | - | 37.5 % |" in pairs
    assert style_points(scores) == [
        StylePoint("ours|x", 0.375, 0.625),
        StylePoint("other", 0.125, 0.375),
    ]


def test_the_table_has_what_is_known_of_targets_and_time():
    target = {"psnr": 20.0, "ssim": 0.75, "delta_e": 3.0, "lpips": None}
    scores = [score("other", "a", 0.5, 0.75)]
    scores += [
        dataclasses.replace(scores[0], method="ours", target=target, seconds=seconds)
        for seconds in (2.0, 9.0, 3.0)
    ]
    scores[1] = dataclasses.replace(scores[1], target=target | {"psnr": 26.0})
    table = style_table(scores)
    assert "| ours | 3 | 22.00 | 0.7500 | 3.00 | - |" in table
    assert "| ours | 3.00 |" in table  # the median
    assert "| other | 1 | 22" not in table
    assert "targets" not in style_table(scores[:1])


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
