"""What the tabs compute, without the page."""

import io
import shlex

import numpy as np
import pytest
from PIL import Image

from tests.applications.stylization.cube_files import read_cube
from vgg_unpool_jax.applications.studio import compress, rebuild, restore, style
from vgg_unpool_jax.applications.studio.commands import command_line
from vgg_unpool_jax.applications.studio.jobs import Job
from vgg_unpool_jax.applications.studio.looks import Looks
from vgg_unpool_jax.applications.studio.models import Models
from vgg_unpool_jax.applications.studio.page import markup, server
from vgg_unpool_jax.applications.stylization.files import ContentFile, StyleFile
from vgg_unpool_jax.applications.stylization.lut import fit_lut
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.errors import ConfigError


def test_borrowed_switches_are_those_of_the_other_photo(pair, photo):
    own = rebuild.rebuild(pair, photo, Job())
    found = rebuild.switch_pictures(pair, photo, photo, Job())
    np.testing.assert_allclose(found["other"].image, own.image, atol=0.02)
    assert found["none"].measures.l1 != pytest.approx(own.measures.l1, abs=1e-3)
    other = rebuild.switch_pictures(pair, photo, photo[:, ::-1], Job())["other"]
    assert np.abs(other.image - own.image).max() > 0.1
    assert np.ptp(rebuild.error_of(own, own.image)) == 0


def test_other_codecs_take_the_best_setting_within_the_bytes(photo):
    size = 900
    found = compress.beside(photo, size, Job())
    assert {"JPEG", "WebP"} <= {one.codec for one in found}
    for one in found:
        assert len(one.content) <= size
        assert one.image.shape == photo.shape
        assert one.bits_per_pixel == 8 * len(one.content) / (40 * 56)
    (jpeg,) = (one for one in found if one.codec == "JPEG")
    better = io.BytesIO()
    options = {"quality": jpeg.setting + 1, "optimize": True, "subsampling": "4:2:0"}
    Image.fromarray(photo).save(better, "JPEG", **options)
    assert len(better.getvalue()) > size


def test_strokes_become_the_colours_of_the_palette():
    strokes = np.zeros((4, 6, 4), np.uint8)
    assert style.painted_labels([strokes]) is None
    strokes[:2, :3] = (225, 30, 70, 255)  # nearly the first colour
    strokes[3, 5] = (60, 180, 75, 90)  # too faint
    above = np.zeros_like(strokes)
    above[0, 0] = (67, 99, 216, 255)
    labels = style.painted_labels([strokes, above])
    colours, counts = np.unique(labels.reshape(-1, 3), axis=0, return_counts=True)
    assert {tuple(c): n for c, n in zip(colours.tolist(), counts, strict=True)} == {
        (0, 0, 0): 18,
        (230, 25, 75): 5,
        (67, 99, 216): 1,
    }


def test_regions_are_shown_in_half_their_colours(photo):
    labels = np.zeros((20, 28), np.int32)
    labels[10:] = 1
    picture = style.region_picture(Regions(("a", "b"), labels=labels), photo)
    wanted = 0.5 * np.array([0x3C, 0xB4, 0x4B]) + 0.5 * photo[-1, 0]
    np.testing.assert_allclose(picture[-1, 0], wanted, atol=0.51)


def test_a_look_that_was_saved_gives_the_result_of_its_style(released, photo, tmp_path):
    work = style.StyleWork(Models(released))
    for name, pixels in (("a", photo), ("b", photo[::-1, :, ::-1] // 2)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    a, b = tmp_path / "a.png", StyleFile(tmp_path / "b.png")
    settings = style.Settings(alpha=0.5, levels=(2,), smoothing="none")
    shares = []
    job = Job(lambda share, what: shares.append(share))
    file, lut = ContentFile(a, None, tmp_path / "1.png"), tmp_path / "look.cube"
    direct = work.stylize(file, b, settings, 0, job, lut)
    np.testing.assert_allclose(read_cube(lut), fit_lut(photo, direct.image), atol=1e-3)
    assert shares == sorted(shares) and 0.5 < shares[-1] < 1
    looks = Looks(tmp_path / "looks")
    assert looks.all() == []
    measured = work.measure(b, tmp_path / "look.safetensors", 0, Job())
    looks.save("../Dusk", measured.path, photo)
    (look,) = looks.all()
    assert look.name == "Dusk" and look.path.parent == tmp_path / "looks"
    with pytest.raises(ConfigError, match="there is a look Dusk already"):
        looks.save("Dusk", measured.path, photo)
    with pytest.raises(ConfigError, match="no saved look"):
        looks.find("../look")
    file = ContentFile(a, None, tmp_path / "2.png")
    later = work.stylize(file, StyleFile(looks.find("Dusk").path), settings, 0, Job())
    np.testing.assert_array_equal(later.image, direct.image)
    flags = work.flags(settings)
    assert flags["levels"] == (2,) and flags["alpha"] == 0.5
    # What the command does by itself is said only where the page did something else.
    assert flags["auto_regions"] == 0 and flags["smoothing"] == "none"
    usual = work.flags(style.Settings(levels=(2, 1), regions=3))
    assert {name for name, value in usual.items() if value is not None} == {"pairs"}
    assert flags["pairs"] == [str(path) for path in reversed(released)]


def test_damages_are_those_of_the_command(photo):
    assert restore.damage_spec("blur", 8) == "blur:9"
    assert restore.damage_spec("JPEG", 0) == "jpeg:2"
    assert restore.damage(photo, "none", 5) is photo
    noise = restore.damage(photo, "noise", 25).astype(float) - photo
    assert 20 < noise.std() < 26
    np.testing.assert_array_equal(
        restore.damage(photo, "noise", 25), restore.damage(photo, "noise", 25)
    )


def test_a_command_line_survives_the_shell():
    flags = {"input": "my photo; rm.jpg", "levels": (3, 2), "alpha": 0.5, "grid": True}
    line = command_line("stylize", flags | {"mask": None, "lossless": False})
    assert shlex.split(line) == [
        *("./launch.sh", "stylize", "--input=my photo; rm.jpg", "--levels=3,2"),
        *("--alpha=0.5", "--grid"),
    ]


def test_names_of_files_are_text_on_the_page(tmp_path):
    name = '"><script>alert(1)</script>'
    figure = markup.Figure(tmp_path / f"{name}.png", name, name, (4, 6))
    for html in (
        markup.before_after(figure, figure),
        markup.figures([figure], magnified=True),
        markup.strip([figure]),
        markup.notes([name]),
        markup.facts({name: name}),
    ):
        assert "<script" not in html and '""' not in html.replace('class=""', "")


def test_other_machines_need_a_password():
    for host in ("127.0.0.1", "localhost", "127.0.0.2"):
        server.check_password(host, None)
    for host in ("0.0.0.0", "192.168.1.5", "studio.example", ""):
        with pytest.raises(ConfigError, match="reached from other machines"):
            server.check_password(host, None)
        with pytest.raises(ConfigError, match="at least 8 letters"):
            server.check_password(host, "short")
        server.check_password(host, "long enough")


@pytest.mark.parametrize("host", ["::1", "[::1]", "::", "127.0.0.1:7860"])
def test_addresses_that_it_cannot_listen_at_are_refused(host):
    with pytest.raises(ConfigError, match="a name or an IPv4 address"):
        server.check_password(host, "long enough")


def test_without_a_password_only_names_of_this_machine_are_answered():
    for host in ("127.0.0.1", "localhost", "127.0.0.2"):
        names = server._allowed_names(host)
        assert set(names) == {"127.0.0.1", "localhost", host}
    assert server._allowed_names("0.0.0.0") == ["*"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_pages_whose_name_was_pointed_at_this_machine_are_not_answered(host):
    pytest.importorskip("starlette", reason="needs the extra [studio]")
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    route = Route("/", lambda request: PlainTextResponse("page"))
    client = TestClient(Starlette(routes=[route], middleware=server._middleware(host)))
    for name, status in ((f"{host}:7860", 200), ("evil.example:7860", 400)):
        assert client.get("/", headers={"Host": name}).status_code == status
