"""The page in a real browser: Chromium, headless. Long, so `./launch.sh test` alone."""

import dataclasses
import io
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.applications.stylization.cube_files import read_cube
from tests.experiments.commands import run_command
from vgg_unpool_jax.applications.studio.photos import MAX_BYTES
from vgg_unpool_jax.applications.stylization.lut import fit_lut

pytest.importorskip("gradio", reason="the studio needs gradio (extra [studio])")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="these tests drive a browser with playwright"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("there is no chromium on this machine", allow_module_level=True)

pytestmark = [pytest.mark.extended, pytest.mark.timeout(600)]
_CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
_LONG = 90_000  # milliseconds
# One system is left out: the page says how to come to it.
_TRAINED = "restoration/photos", "super_resolution/photos", "vae_coco", "deepsim/vgg19"

# Started before the server: whatever connects elsewhere than to this machine is told.
_GUARD = """
import runpy, socket, sys
connect = socket.socket.connect
def guarded(self, address):
    local = self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1")
    if not local:
        print("OUTGOING", address, flush=True)
        raise OSError("outgoing")
    return connect(self, address)
socket.socket.connect = guarded
lookup = socket.getaddrinfo
def guarded_lookup(host, *args, **kwargs):
    if host not in (None, "127.0.0.1", "localhost", "::1", ""):
        print("OUTGOING", host, flush=True)
        raise OSError("outgoing")
    return lookup(host, *args, **kwargs)
socket.getaddrinfo = guarded_lookup
sys.argv = ["studio", *sys.argv[1:]]
runpy.run_module("experiments.studio", run_name="__main__")
"""


@dataclasses.dataclass
class Studio:
    """A running studio: its address, its process, its log and its folder of files."""

    url: str
    process: subprocess.Popen
    log: pathlib.Path
    folder: pathlib.Path

    def files(self):
        return [p for p in self.folder.rglob("*") if p.is_file()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Workdirs of systems without a release, trained for a few steps."""
    folder = tmp_path_factory.mktemp("runs")
    for config in _TRAINED:
        workdir = f"--workdir={folder / config.partition('/')[0]}"
        found = run_command("train", f"--config={config}:runlocal", workdir)
        assert found.returncode == 0, found.stderr
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def studio(released, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    named = ",".join(map(str, [*released, *trained]))
    options = [f"--port={port}", f"--models={named}", f"--looks={folder / 'looks'}"]
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(_CHECKOUT)}
    log = folder / "log"
    with open(log, "w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", _GUARD, *options],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    for _ in range(600):
        if "the studio is at" in log.read_text() or process.poll() is not None:
            break
        time.sleep(0.2)
    assert process.poll() is None, log.read_text()
    (made,) = folder.glob("vgg_unpool_studio-*")
    yield Studio(f"http://127.0.0.1:{port}/", process, log, made)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert "OUTGOING" not in log.read_text()
    assert not made.exists()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser, studio):
    """A page of its own, whose requests all go to the studio."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = context.new_page()
    outside = []

    def look(request):
        if not request.url.startswith((studio.url, "data:", "blob:")):
            outside.append(request.url)

    found.on("request", look)
    found.goto(studio.url)
    found.get_by_role("tab", name="Rebuild").wait_for()
    yield found
    context.close()
    assert not outside


def _photo(seed, size=(96, 72)):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def _size(path):
    with Image.open(path) as image:
        return image.size


def _file(image, name="photo.png", **options):
    buffer = io.BytesIO()
    kind = "JPEG" if name.endswith(".jpg") else name.rpartition(".")[2].upper()
    image.save(buffer, kind, **options)
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


def _open(page, tab):
    page.get_by_role("tab", name=tab).click()
    panel = page.get_by_role("tabpanel").filter(visible=True)
    panel.locator(".actions").first.wait_for()
    return panel


def _upload(panel, file, number=0):
    panel.locator("input[type=file]").nth(number).set_input_files(file)


def _kept(download, folder):
    """A download by its own name."""
    path = folder / download.suggested_filename
    download.save_as(path)
    return path


def _wait(panel, text):
    panel.get_by_text(text).first.wait_for(timeout=_LONG)


def test_a_photo_is_rebuilt_shown_and_downloaded(page):
    panel = _open(page, "Rebuild")
    _upload(panel, _file(_photo(0), "my <b>photo.png"))
    _wait(panel, "block 2")
    _wait(panel, "no switches")
    assert panel.get_by_text(re.compile(r"PSNR")).count()
    line = panel.locator(".command textarea").input_value()
    assert line.startswith("./launch.sh reconstruct --workdir=")
    with page.expect_download() as found:
        panel.get_by_text("Download 96×72 PNG").click()
    assert _size(found.value.path()) == (96, 72)
    # All pictures have a text, and the slider between them obeys the keyboard.
    shown = panel.locator("img:visible")
    texts = [shown.nth(i).get_attribute("alt") for i in range(shown.count())]
    assert shown.count() >= 4 and all(texts), texts
    slider = panel.get_by_role("slider", name=re.compile("Percent of photo shown"))
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.input_value() == "51"
    style = panel.locator("figure.vs").get_attribute("style")
    assert "--split: 51%" in style


def test_orientation_and_formats_that_browsers_do_not_show(page):
    panel = _open(page, "Rebuild")
    exif = Image.Exif()
    exif[0x0112] = 6
    _upload(panel, _file(_photo(1), "turned.jpg", exif=exif))
    _wait(panel, "72×96")
    panel.get_by_label("Clear").or_(panel.get_by_label("Remove Image")).first.click()
    panel.get_by_text("Drop Image Here").wait_for()
    _upload(panel, _file(_photo(2, (80, 64)), "scan.tiff"))
    _wait(panel, "Photo 80×64")


def test_style_with_a_saved_look_and_several_photos(page, tmp_path):
    panel = _open(page, "Style")
    _upload(panel, _file(_photo(3), "photo.png"), 0)
    _upload(panel, _file(_photo(4), "style.png"), 1)
    _wait(panel, "stylised")
    line = panel.locator(".command textarea").input_value()
    assert "stylize --content=photo.png --style=style.png" in line
    with page.expect_download() as found:
        panel.get_by_text("Look as .cube").click()
    assert found.value.suggested_filename == "photo_look.cube"
    with page.expect_download() as result:
        panel.get_by_text("Download 96×72 PNG").click()
    table = read_cube(_kept(found.value, tmp_path))
    before, after = np.asarray(_photo(3)), np.asarray(Image.open(result.value.path()))
    assert np.abs(table - fit_lut(before, after)).mean() < 1
    panel.get_by_text("Saved looks").click()
    panel.get_by_label("Name").fill("Evening")
    panel.get_by_role("button", name="Save the style's look").click()
    panel.get_by_text("Evening").first.wait_for(timeout=_LONG)
    thumbnail = panel.locator(".grid-wrap img, .thumbnail-item img").first
    assert thumbnail.evaluate("image => image.naturalWidth") == 96
    chosen = panel.get_by_label("Take the look of")
    assert chosen.input_value() == "Evening"
    panel.get_by_text("Several photos at once").click()
    both = [_file(_photo(5), "one.png"), _file(_photo(6), "two.jpg")]
    both.append({"name": "bad.png", "mimeType": "image/png", "buffer": b"no photo"})
    _upload(panel, both, 2)
    panel.get_by_text("two").first.wait_for()
    panel.get_by_role("button", name="Stylise all").click()
    _wait(panel, "Download 2 photos")
    assert panel.get_by_text("bad.png is not an image in a known format").count()
    with page.expect_download() as found:
        panel.get_by_text("Download 2 photos").click()
    assert found.value.suggested_filename == "photos.zip"
    clear = panel.get_by_label("Clear").or_(panel.get_by_label("Remove Image"))
    clear.nth(1).click()
    panel.get_by_text("Drop Image Here").wait_for()
    _upload(panel, _file(_photo(7), "other.png"), 1)
    playwright.expect(chosen).to_have_value("the style photo", timeout=_LONG)


def test_painted_regions_go_into_the_masks(page):
    panel = _open(page, "Style")
    _upload(panel, _file(_photo(3, (320, 240)), "photo.png"), 0)
    _upload(panel, _file(_photo(4, (320, 240)), "style.png"), 1)
    _wait(panel, "stylised")
    panel.get_by_label("painted").click()
    # Each editor has two canvases.
    for canvas in (panel.locator("canvas").nth(0), panel.locator("canvas").nth(2)):
        canvas.wait_for()
        page.wait_for_timeout(1500)
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 60, middle[1] + 20, steps=8)
        page.mouse.up()
    page.wait_for_timeout(1000)
    panel.get_by_role("button", name="Preview").click()
    _wait(panel, "Masks")
    line = panel.locator(".command textarea").input_value()
    assert "--content_mask=photo_mask.png --style_mask=style_mask.png" in line


def test_a_file_is_compressed_beside_others_and_decoded_again(page):
    panel = _open(page, "Compress")
    _upload(panel, _file(_photo(7, (128, 96))))
    _wait(panel, "AVIF")
    panel.locator(".pane").first.focus()
    page.keyboard.press("ArrowRight")
    assert panel.locator(".magnified.on .glass").first.is_visible()
    page.keyboard.press("Escape")
    assert not panel.locator(".magnified.on").count()
    with page.expect_download() as found:
        panel.get_by_text("Download photo.vuc").click()
    panel.get_by_text("Decode a .vuc file").click()
    content = pathlib.Path(found.value.path()).read_bytes()
    file = {"name": "a.vuc", "mimeType": "application/octet-stream", "buffer": content}
    _upload(panel, file, 1)
    _wait(panel, "a.vuc: 128×96")


def test_damage_is_taken_away_and_a_photo_is_enlarged(page):
    panel = _open(page, "Restore")
    _upload(panel, _file(_photo(14)))
    _wait(panel, "the network sees")
    panel.get_by_label("noise", exact=True).check()
    _wait(panel, "damaged")
    line = panel.locator(".command textarea").input_value()
    assert "damage --input=photo.png --output=damaged --damage=noise:25 && " in line
    assert "restore --model=" in line and "--input=damaged/photo.png" in line
    panel.get_by_label("none", exact=True).check()
    panel.get_by_label("enlarge (super_resolution)").check()
    _wait(panel, "Download 384×288 PNG")
    with page.expect_download() as found:
        panel.get_by_text("Download 384×288 PNG").click()
    assert _size(found.value.path()) == (384, 288)


def test_samples_walks_and_single_units(page):
    panel = _open(page, "Sample")
    panel.get_by_role("button", name="Draw").click()
    _wait(panel, "36 samples")
    line = panel.locator(".command textarea").input_value()
    assert line.endswith("--num=36 --output=grid.png") and "sample --workdir=" in line
    panel.get_by_label("walk", exact=True).check()
    panel.locator(".strip figure").nth(15).wait_for(timeout=_LONG)
    panel.get_by_label("single units", exact=True).check()
    _wait(panel, "with the units as set")
    shown = panel.locator(".result img")
    first = shown.get_attribute("src")
    slider = panel.get_by_role("slider", name="Unit 3")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "first => ![...document.querySelectorAll('.result img')].some("
        "image => image.getAttribute('src') === first)",
        arg=first,
        timeout=_LONG,
    )


def test_layers_are_inverted_with_and_without_switches(page):
    panel = _open(page, "Invert")
    _upload(panel, _file(_photo(15, (200, 160))))
    _wait(panel, "from block4_conv2")
    _wait(panel, "block 2: L1")
    line = panel.locator(".command textarea").input_value()
    assert "invert --model=" in line and "--input=photo.png" in line


def test_two_photos_are_edited(page):
    panel = _open(page, "Edit")
    _upload(panel, _file(_photo(8)), 0)
    _upload(panel, _file(_photo(9), "b.png"), 1)
    _wait(panel, "0.5: L1")
    assert panel.locator(".strip figure").count() == 7
    assert "More" in page.get_by_role("tab").all_inner_texts()
    page.get_by_role("tab", name="More").click()
    page.get_by_text("Colouring grey photos: VGG19's weights are not on").wait_for()


def test_files_that_are_no_photos_and_too_large_ones_are_refused(page, tmp_path):
    panel = _open(page, "Rebuild")
    bad = {"name": "bad.png", "mimeType": "image/png", "buffer": b"not a photo"}
    _upload(panel, bad)
    page.get_by_text("bad.png is not an image in a known format").wait_for()
    panel.get_by_text("Drop Image Here").wait_for()

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 50000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    _upload(panel, {"name": "bomb.png", "mimeType": "image/png", "buffer": bomb})
    page.get_by_text("too many pixels").or_(page.get_by_text("60000×50000")).wait_for()
    huge = tmp_path / "huge.png"
    with open(huge, "wb") as file:
        file.truncate(MAX_BYTES + 2**20)
    _upload(panel, str(huge))
    page.get_by_text(re.compile("exceeds|maximum", re.I)).first.wait_for()


def test_work_can_be_cancelled_and_others_wait_for_their_turn(browser, studio):
    contexts = [browser.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    panels = []
    for one in pages:
        one.goto(studio.url)
        one.get_by_role("tab", name="Style").wait_for()
        panels.append(_open(one, "Style"))
    large = _photo(10, (2400, 1800))
    _upload(panels[0], _file(large, "large.png"), 0)
    _upload(panels[0], _file(_photo(11), "style.png"), 1)
    _wait(panels[0], "stylised")
    panels[0].get_by_text("Full size: settings").click()
    panels[0].get_by_label("full size", exact=True).click()
    panels[0].get_by_role("button", name="Full size", exact=True).click()
    panels[0].get_by_text(re.compile("block 2, statistics")).first.wait_for()
    rebuild = _open(pages[1], "Rebuild")
    _upload(rebuild, _file(_photo(12), "waits.png"))
    # The second sees its place in the queue.
    rebuild.get_by_text(re.compile(r"queue: 1/1")).first.wait_for(timeout=20_000)
    began = time.monotonic()
    panels[0].get_by_role("button", name="Cancel").click()
    _wait(rebuild, "no switches")
    assert time.monotonic() - began < 60
    shown = panels[0].get_by_text("2400×1800").count()
    assert shown <= 1  # the label of the photo, and no download of that size
    for context in contexts:
        context.close()


def test_two_people_do_not_see_each_others_results(browser, studio):
    contexts = [browser.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    sizes = ((88, 64), (72, 104))
    panels = []
    for one, size in zip(pages, sizes, strict=True):
        one.goto(studio.url)
        one.get_by_role("tab", name="Rebuild").wait_for()
        panels.append(_open(one, "Rebuild"))
        _upload(panels[-1], _file(_photo(13, size), "same_name.png"))
    for one, panel, (width, height) in zip(pages, panels, sizes, strict=True):
        panel.get_by_text(f"Download {width}×{height} PNG").wait_for(timeout=_LONG)
        with one.expect_download() as found:
            panel.get_by_text(f"Download {width}×{height} PNG").click()
        assert _size(found.value.path()) == (width, height)
    before = len(studio.files())
    contexts[0].close()
    for _ in range(60):
        if len(studio.files()) < before:
            break
        time.sleep(0.5)
    assert len(studio.files()) < before, "the files of a closed page go"
    assert panels[1].get_by_text("Download 72×104 PNG").is_visible()
    contexts[1].close()


def test_all_that_can_be_used_has_a_name_and_shows_its_focus(page):
    roles = "button|checkbox|combobox|group|listbox|radio|slider|spinbutton|textbox"
    for tab in ("Style", "Rebuild", "Edit", "Compress", "Restore", "Sample", "Invert"):
        found = _open(page, tab).aria_snapshot()
        assert not re.findall(rf"^ *- (?:{roles})(?: \[.*)?:?$", found, re.M), tab
    panel = _open(page, "Style")
    choosers = []
    page.on("filechooser", lambda found: choosers.append(found))
    page.wait_for_timeout(500)  # until the browser hands them to the test
    for number, name in enumerate(("Photo: upload a file", "Style: upload a file"), 1):
        panel.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
        for _ in range(50):
            if len(choosers) < number:
                page.wait_for_timeout(100)
        assert len(choosers) == number, name
    for role, name in (("slider", "Strength"), ("radio", "strong")):
        page.keyboard.press("Tab")  # what is focused by a key shows it
        control = panel.get_by_role(role, name=name)
        control.focus()
        outlined = "e => getComputedStyle(e.closest('label') ?? e).outlineStyle"
        assert control.evaluate(outlined) == "solid", name


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_sticks_out_of_narrow_and_wide_windows(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    for tab in ("Style", "Rebuild", "Edit"):  # others may be in a menu
        _open(page, tab)
        inside = page.evaluate("document.documentElement.scrollWidth")
        assert inside <= width, f"{tab} is {inside} wide"


def test_programs_can_call_it_and_cannot_name_files(studio, tmp_path):
    import httpx
    from gradio_client import Client, handle_file

    path = tmp_path / "photo.png"
    _photo(14).save(path)
    client = Client(studio.url, verbose=False, download_files=str(tmp_path))
    result = client.predict(photo=handle_file(path), block=2, api_name="/rebuild")
    assert _size(result) == (96, 72)
    meta = {"_type": "gradio.FileData"}
    for name in ("/etc/passwd", f"{studio.folder}/../log", "http://example.com/a.png"):
        for data in ({"path": name, "meta": meta}, {"path": name}, name):
            address = f"{studio.url}gradio_api/call/rebuild"
            event = httpx.post(address, json={"data": [data, 2]}).json()["event_id"]
            answer = httpx.get(f"{address}/{event}", timeout=60).text
            assert "event: error" in answer, (name, answer)
    for name in ("/etc/passwd", "..%2F..%2Fetc%2Fpasswd", "https://example.com/"):
        answer = httpx.get(f"{studio.url}gradio_api/file={name}")
        assert answer.status_code in (403, 404), name
    large = httpx.post(f"{studio.url}gradio_api/queue/join", content=bytes(2**24 + 1))
    assert large.status_code == 413
    answer = httpx.get(studio.url, headers={"Host": "elsewhere.example"})
    assert answer.status_code == 400
