"""The steps behind the network, on styles without features."""

import numpy as np
import pytest

from vgg_unpool_jax.applications.stylization.color_transport import sample_colors
from vgg_unpool_jax.applications.stylization.finishing import (
    finish,
    transfer_look,
    transport,
)
from vgg_unpool_jax.applications.stylization.looks import LOOKS, Look, find_look
from vgg_unpool_jax.applications.stylization.regions import Matching, Regions
from vgg_unpool_jax.applications.stylization.style_statistics import StyleStatistics
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.ops.moments import Moments


def _photo(seed, mean=120, spread=15, size=(40, 60)):
    noise = np.random.default_rng(seed).standard_normal((*size, 3))
    return np.clip(mean + spread * noise, 0, 255).astype(np.float32)


def _style(photo, regions=None):
    count = len(regions.names) if regions else 1
    areas = regions.areas() if regions else np.array([photo.size / 3])
    moments = Moments(areas, np.zeros((count, 64)), np.zeros((count, 64, 64)))
    names = regions.names if regions else ("all",)
    return StyleStatistics(
        names, {1: moments}, {1: "aa"}, sample_colors(photo, regions)
    )


def _halves():
    labels = np.zeros((40, 60), np.int32)
    labels[:, 30:] = 1
    return Regions(("left", "right"), labels=labels)


def test_colours_go_to_those_of_the_style_and_detail_stays():
    photo, other = _photo(0), _photo(1, (180, 120, 60), 20)
    look = Look("ot", {}, radius=0.2, sigma=60.0, rounds=3)
    result = finish(
        photo, photo, [(_style(other), 1.0)], None, [Matching((-1,), ())], look
    )
    np.testing.assert_allclose(result.mean((0, 1)), (180, 120, 60), atol=8)
    # What was added is smooth: most of the photo's noise is still there.
    kept = np.corrcoef((result - result.mean()).ravel(), photo.ravel())[0, 1]
    assert 0.2 < kept and (result - photo).std((0, 1)).max() < 8
    # As it is of a style whose contrast would be added point by point.
    wide = [(_style(_photo(8, 120, 45)), 1.0)]
    result = finish(photo, photo, wide, None, [Matching((-1,), ())], look)
    alone = transport(photo, wide, None, [Matching((-1,), ())])
    added, at_once = (np.diff(x - photo, axis=1).std() for x in (result, alone))
    assert added < 0.4 * at_once
    none = finish(
        photo, photo, [(_style(other), 1.0)], None, [Matching((-1,), ())], look, alpha=0
    )
    np.testing.assert_allclose(none, photo, atol=1e-3)


def test_each_region_takes_its_own_colours():
    photo, regions = _photo(2), _halves()
    other = _photo(3, 60)
    other[:, 30:] += 130
    style = _style(other, regions)
    matching = Matching((1, 0), ())
    found = transport(photo, [(style, 1.0)], regions, [matching])
    assert found[:, :30].mean() == pytest.approx(190, abs=4)
    assert found[:, 30:].mean() == pytest.approx(60, abs=4)
    # A region without a partner takes the whole photo's map.
    whole = transport(photo, [(style, 1.0)], regions, [Matching((1, -1), ())])
    assert whole[:, 30:].mean() == pytest.approx(125, abs=6)
    coverage = np.zeros((40, 60, 2), np.float32)
    coverage[..., 0] = np.linspace(0, 1, 60)
    coverage[..., 1] = 1 - coverage[..., 0]
    soft = Regions(("left", "right"), coverage=coverage)
    blended = transport(photo, [(style, 1.0)], soft, [Matching((0, 1), ())])
    columns = blended.mean((0, 2))
    assert columns[2] == pytest.approx(190, abs=12)
    assert columns[-3] == pytest.approx(60, abs=12)
    assert 100 < columns[30] < 150


def test_regions_of_almost_no_coverage_darken_nothing():
    photo = np.full((20, 20, 3), 200, np.float32)
    coverage = np.full((20, 20, 5), 9e-4, np.float32)
    coverage[..., 0] = 1 - 4 * 9e-4
    regions = Regions(tuple("abcde"), coverage=coverage)
    style = _style(photo, regions)
    matching = Matching((0, 1, 2, 3, 4), ())
    found = transport(photo, [(style, 1.0)], regions, [matching])
    np.testing.assert_allclose(found, photo, atol=0.1)


def test_styles_are_mixed_by_their_shares():
    photo, dark, light = _photo(4), _style(_photo(5, 60)), _style(_photo(6, 200))
    matchings = [Matching((-1,), ())] * 2
    mixed = transport(photo, [(dark, 1.0), (light, 3.0)], None, matchings)
    assert mixed.mean() == pytest.approx(165, abs=4)


def test_whole_colours_are_those_of_all_regions_by_area():
    photo = np.zeros((40, 60, 3), np.float32)
    photo[:, 45:] = 200
    labels = (photo[..., 0] > 0).astype(np.int32)
    style = _style(photo, Regions(("a", "b"), labels=labels))
    assert (style.whole_colors == 200).mean() == pytest.approx(0.25, abs=0.01)


def test_looks_have_names_and_factors():
    assert find_look("strong") is LOOKS["strong"]
    with pytest.raises(ConfigError, match="one of faithful, balanced, strong, got 'x'"):
        find_look("x")
    look = Look("ot", {4: 0.5, 1: 1.0}, 0.05, 30.0, 2)
    assert look.strengths_at((4, 1), {4: 0.5}) == {4: 0.25, 1: 1.0}
    # What the photo has no level for is refused behind.
    assert look.strengths_at((1,), {7: 2.0}) == {7: 2.0, 1: 1.0}


def test_the_network_s_picture_is_the_start(monkeypatch):
    class Stylizer:
        blocks = (1,)

        def stylize(self, photo, styles, regions, **options):
            self.options = options
            return photo + 40

        def match(self, regions, style):
            return Matching((-1,), ())

    photo, stylizer = _photo(7), Stylizer()
    look = Look("ot", {1: 0.5}, 0.05, 30.0, 0)
    result = transfer_look(stylizer, photo, _style(photo), look=look, alpha=0.5)
    np.testing.assert_allclose(result, photo + 40, atol=0.1)
    assert stylizer.options["strengths"] == {1: 0.5}
    assert stylizer.options["alpha"] == 0.5
