"""The explorer in a real JupyterLab, used as a person uses it."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import seurat_tracks as st
from seurat_tracks.model.config import ModelConfig
from seurat_tracks.model.network import SeuratNetwork
from seurat_tracks.model.pretrained import save_weights
from tests.notebook import browser

pytestmark = [pytest.mark.notebook, pytest.mark.slow]

CELLS = (
    """import numpy as np, xarray as xr, seurat_tracks as st
ds = st.open("tracks.zarr")
video = xr.open_dataset("video.nc", engine="h5netcdf").video.load()
""",
    "e = ds.seurat.explore(video, depth=5.0, model='tiny.safetensors'); e",
    "print(e.selected_ids, e.frame, e.colour, e.canvas.picks)",
    "print(st.read('selection.csv').track.values.tolist())",
    "e.frame = 45; e.select([0]); e.colour = 'speed'",
    "import time; print('busy'); time.sleep(60)",
    "f = ds.seurat.explore(video, frame=50); f",
    "new = e.dataset.isel(track=-1)\n"
    "print(len(e.dataset.track), new.xy.sel(time=40).values.round(1).tolist(),\n"
    "      bool(np.isfinite(new.xyz.where(new.visible, 0)).all()))",
    "e.dataset = ds.drop_sel(track=[0, 1])",
)

TINY = ModelConfig(
    width=32, heads=2, layers=1, pair_width=8, shared_branches=True, iterations=1
)


@pytest.fixture(scope="module")
def lab(scene, tmp_path_factory):
    if reason := browser.missing():
        pytest.skip(reason)
    for package in ("jupyterlab", "anywidget", "h5netcdf"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("lab")
    ds, video = scene
    ds.seurat.save(folder / "tracks.zarr")
    torch.manual_seed(0)
    save_weights(
        folder / "tiny.safetensors", SeuratNetwork(TINY).state_dict(), TINY, record={}
    )
    video.drop_attrs().to_dataset(name="video").to_netcdf(
        folder / "video.nc", engine="h5netcdf"
    )
    browser.write_notebook(folder / "a.ipynb", *CELLS)
    with browser.jupyter_lab(folder) as address, browser.chromium() as chrome:
        page = browser.LabPage(chrome, address, "a.ipynb")
        page.folder = folder
        page.run_cell(0)
        page.output(0)
        page.run_cell(1)
        page.page.wait_for_selector(
            f"{browser.ROOT_SELECTOR}[data-picture=shown][data-colour]"
        )
        yield page
        page.close()


@pytest.fixture
def root(lab):
    """The explorer, as it was at first; errors of the browser fail the test."""
    root = lab.page.locator(browser.ROOT_SELECTOR)
    root.scroll_into_view_if_needed()
    root.locator("button[data-tool=look]").click()
    root.locator(".se-reset").click()
    root.focus()
    lab.page.keyboard.press("Escape")
    lab.page.keyboard.press("Home")
    wait(lab, "40")
    yield root
    assert lab.errors == []


def wait(lab, frame):
    lab.page.wait_for_selector(
        f"{browser.ROOT_SELECTOR}[data-frame='{frame}'][data-picture=shown]"
    )
    lab.page.wait_for_timeout(250)


def pixels(part):
    """Colours of what is on the screen, (y, x, rgb)."""
    return np.asarray(Image.open(io.BytesIO(part.screenshot())).convert("RGB")).astype(
        int
    )


def changed(before, after):
    """Share of the pixels that differ."""
    return (np.abs(before - after).max(-1) > 12).mean()


def halves(image):
    middle = int(0.53 * image.shape[1])
    return image[:, : middle - 2], image[:, middle + 10 :]


def drag(lab, stage, *places, button="left"):
    """Drag over places given as shares of the stage."""
    box = stage.bounding_box()
    points = [
        (box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in places
    ]
    lab.page.mouse.move(*points[0])
    lab.page.mouse.down(button=button)
    for point in points[1:]:
        lab.page.mouse.move(*point, steps=5)
    lab.page.mouse.up(button=button)
    lab.page.wait_for_timeout(250)


def test_both_views_show_tracks_in_colour(lab, root):
    left, right = halves(pixels(root.locator(".se-stage")))
    for part in (left, right):
        spread = part.max(-1) - part.min(-1)
        assert (spread > 80).sum() > 60


def test_the_slider_moves_picture_tracks_and_kernel(lab, root):
    stage = root.locator(".se-stage")
    before = halves(pixels(stage))
    slider = root.locator(".se-time")
    box = slider.bounding_box()
    lab.page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    lab.page.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-frame='51']")
    wait(lab, "51")
    after = halves(pixels(stage))
    assert all(changed(a, b) > 0.003 for a, b in zip(before, after, strict=True))
    assert "] 51 depth" in lab.ask(2)


def test_keys(lab, root):
    frames = []
    for key in ("End", "ArrowLeft", "Shift+ArrowLeft", "Home", "ArrowRight"):
        lab.page.keyboard.press(key)
        lab.page.wait_for_timeout(150)
        frames.append(int(root.get_attribute("data-frame")))
    assert frames == [61, 60, 50, 40, 41]
    before = halves(pixels(root.locator(".se-stage")))
    lab.page.keyboard.press("+")
    lab.page.keyboard.press("ArrowUp")
    lab.page.wait_for_timeout(250)
    after = halves(pixels(root.locator(".se-stage")))
    assert changed(before[1], after[1]) > 0.01
    lab.page.keyboard.press("Space")
    lab.page.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-frame='61']")
    for key, chosen in (("n", "0"), ("n", "1"), ("p", "0"), ("Escape", "")):
        lab.page.keyboard.press(key)
        lab.page.wait_for_timeout(150)
        text = root.locator(".se-now").inner_text()
        assert text.partition(" selected: ")[2] == chosen
    # the notebook has not taken any of these keys for its own
    assert lab.page.locator(".jp-Notebook .jp-Cell").count() == len(CELLS)


def test_playing_goes_on_and_the_kernel_follows(lab, root):
    root.evaluate(
        """root => { window.shown = []; new MutationObserver(
        () => shown.push(Number(root.dataset.frame))
        ).observe(root, { attributes: true, attributeFilter: ['data-drawn'] }) }"""
    )
    before = halves(pixels(root.locator(".se-stage")))
    root.locator("select[aria-label='playing speed']").select_option("0.5")
    root.locator(".se-play").click()
    lab.page.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-frame='61']")
    wait(lab, "61")
    after = halves(pixels(root.locator(".se-stage")))
    assert all(changed(a, b) > 0.003 for a, b in zip(before, after, strict=True))
    frames = lab.page.evaluate("shown")
    assert len(set(frames)) > 10
    assert frames == sorted(frames)
    assert root.locator(".se-play").get_attribute("aria-label") == "play"
    lab.page.wait_for_timeout(400)
    assert "] 61 depth" in lab.ask(2)
    root.locator("select[aria-label='playing speed']").select_option("1")


def test_orbit_zoom_and_pan(lab, root):
    stage = root.locator(".se-stage")
    start = halves(pixels(stage))
    drag(lab, stage, (0.75, 0.5), (0.85, 0.6))
    turned = halves(pixels(stage))
    assert changed(start[1], turned[1]) > 0.01
    assert changed(start[0], turned[0]) == 0
    lab.page.mouse.wheel(0, -300)
    lab.page.wait_for_timeout(250)
    zoomed = halves(pixels(stage))
    assert changed(turned[1], zoomed[1]) > 0.01
    drag(lab, stage, (0.75, 0.5), (0.7, 0.4), button="right")
    panned = halves(pixels(stage))
    assert changed(zoomed[1], panned[1]) > 0.01
    drag(lab, stage, (0.2, 0.5), (0.3, 0.5))
    assert changed(panned[0], halves(pixels(stage))[0]) > 0.05
    root.locator(".se-reset").click()
    lab.page.mouse.move(5, 5)
    lab.page.wait_for_timeout(250)
    assert changed(start[1], halves(pixels(stage))[1]) < 0.001


def place_of(lab, root, track):
    """Where a track stands on the screen, in the frame."""
    ds = st.open(lab.folder / "tracks.zarr")
    x, y = ds.xy.sel(track=track, time=40).values
    box = root.locator(".se-stage").bounding_box()
    left, height, zoom = frame_pane(box)
    return (
        box["x"] + left / 2 + (x - 79.5) * zoom,
        box["y"] + height / 2 + (y - 59.5) * zoom,
    )


def frame_pane(box):
    """Width and height of the left view, and screen pixels for a pixel of the frame."""
    left = np.floor(0.53 * box["width"])
    return left, box["height"], 0.985 * min(left / 160, box["height"] / 120)


def test_click_selects_and_plots(lab, root):
    plot = root.locator(".se-plot")
    empty = pixels(plot)
    lab.page.mouse.click(*place_of(lab, root, 100))
    lab.page.wait_for_function(
        "() => document.querySelector('.se-now').textContent.includes('1 selected')"
    )
    lab.page.wait_for_timeout(250)
    assert changed(empty, pixels(plot)) > 0.005
    assert lab.ask(2).startswith("[100] 40")
    lab.page.keyboard.press("Escape")


def test_lasso_in_either_view_selects_and_saves(lab, root):
    stage = root.locator(".se-stage")
    root.locator("button[data-tool=lasso]").click()
    drag(lab, stage, (0.54, 0.02), (0.99, 0.02), (0.99, 0.98), (0.54, 0.98))
    everything = lab.ask(2)
    assert everything.count(",") > 100
    root.scroll_into_view_if_needed()
    drag(lab, stage, (0.01, 0.02), (0.25, 0.02), (0.25, 0.98), (0.01, 0.98))
    some = lab.ask(2).partition("]")[0].lstrip("[").split(", ")
    chosen = {int(i) for i in some}
    ds = st.open(lab.folder / "tracks.zarr").sel(time=40)
    width = stage.bounding_box()["width"]
    left, _, zoom = frame_pane(stage.bounding_box())
    edge = (0.25 * width - left / 2) / zoom + 79.5
    x = ds.xy.sel(coord="x").where(ds.visible).values
    inside, near = set(np.flatnonzero(x < edge - 1)), set(np.flatnonzero(x < edge + 1))
    assert len(inside) > 5
    assert inside <= chosen <= near
    assert len(near) < ds.visible.values.sum()
    lab.page.locator("button:has-text('Save selection')").click()
    lab.page.wait_for_function(
        "() => document.querySelector('.se-status').textContent.includes('written to')"
    )
    assert {int(i) for i in lab.ask(3).strip("[]\n").split(", ")} == chosen


def test_pick_adds_and_takes_back(lab, root):
    stage = root.locator(".se-stage")
    before = halves(pixels(stage))
    root.locator("button[data-tool=pick]").click()
    box = stage.bounding_box()
    at = (box["x"] + 0.2 * box["width"], box["y"] + 0.4 * box["height"])
    lab.page.mouse.click(*at)
    lab.page.wait_for_timeout(250)
    assert changed(before[0], halves(pixels(stage))[0]) > 0.0002
    text = lab.ask(2)
    assert "[[40, " in text
    button = lab.page.locator("button:has-text('Track and lift 1 picked point')")
    assert button.is_enabled()
    root.scroll_into_view_if_needed()
    box = stage.bounding_box()
    at = (box["x"] + 0.2 * box["width"], box["y"] + 0.4 * box["height"])
    lab.page.mouse.click(*at)
    assert lab.ask(2).rstrip().endswith("[]")


def test_colours_and_python_both_ways(lab, root):
    stage = root.locator(".se-stage")
    before = pixels(stage)
    root.locator("select[aria-label='colour by']").select_option("track")
    lab.page.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-colour=track]")
    lab.page.wait_for_timeout(250)
    assert changed(before, pixels(stage)) > 0.002
    assert "track" in lab.ask(2)
    lab.ask(4)
    wait(lab, "45")
    lab.page.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-colour=speed]")
    assert "1 selected" in root.locator(".se-now").inner_text()
    root.locator("select[aria-label='colour by']").select_option("depth")
    lab.page.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-colour=depth]")


def test_a_busy_kernel_and_its_interrupt_leave_nothing_broken(lab, root):
    lab.run_cell(5)
    lab.page.wait_for_function(
        """() => document.querySelectorAll('.jp-Notebook .jp-Cell')[5]
        .textContent.includes('busy')"""
    )
    root.scroll_into_view_if_needed()
    root.focus()
    # frames that were seen are there, whatever the kernel does
    lab.page.keyboard.press("End")
    lab.page.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-frame='61']")
    root.locator("select[aria-label='colour by']").select_option("image speed")
    lab.page.keyboard.press("Escape")
    lab.page.locator(".jp-Notebook .jp-Cell").nth(5).locator(
        ".jp-InputArea-prompt"
    ).click()
    lab.page.keyboard.press("i")
    lab.page.keyboard.press("i")
    lab.page.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-colour='image speed']")
    assert "KeyboardInterrupt" in lab.output(5)
    lab.page.wait_for_timeout(1000)  # what is run at once after an error is aborted
    assert "61 image speed" in lab.ask(2)
    root.locator("select[aria-label='colour by']").select_option("depth")
    lab.page.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-colour=depth]")


def test_picked_points_are_lifted_in_place(lab, root):
    stage = root.locator(".se-stage")
    before = halves(pixels(stage))
    root.locator("button[data-tool=pick]").click()
    box = stage.bounding_box()
    left, height, zoom = frame_pane(box)
    x, y = 25.0, 30.0
    lab.page.mouse.click(
        box["x"] + left / 2 + (x - 79.5) * zoom,
        box["y"] + height / 2 + (y - 59.5) * zoom,
    )
    lab.page.locator("button:has-text('Track and lift 1 picked point')").click()
    lab.page.wait_for_function(
        "() => document.querySelector('.se-status').textContent.includes('New tracks')"
    )
    assert "New tracks: 150." in root.locator(".se-status").inner_text()
    assert root.locator(".se-now").inner_text().endswith("1 selected: 150")
    root.locator("button[data-tool=look]").click()
    lab.page.keyboard.press("Escape")
    lab.page.mouse.move(5, 5)
    lab.page.wait_for_timeout(250)
    after = halves(pixels(stage))
    # a point more in either view, and nothing else
    assert all(0.0001 < changed(a, b) < 0.5 for a, b in zip(before, after, strict=True))
    assert lab.ask(7).split() == ["151", "[25.0,", "30.0]", "True"]


def test_two_explorers_and_a_cell_that_is_deleted(lab, root):
    lab.run_cell(6)
    both = lab.page.locator(browser.ROOT_SELECTOR)
    lab.page.wait_for_function(
        "s => document.querySelectorAll(`${s}[data-picture=shown]`).length === 2",
        arg=browser.ROOT_SELECTOR,
    )
    assert both.nth(1).get_attribute("data-frame") == "50"
    both.nth(1).focus()
    lab.page.keyboard.press("End")
    lab.page.keyboard.press("n")
    lab.page.wait_for_timeout(250)
    assert both.nth(1).get_attribute("data-frame") == "61"
    assert both.nth(0).get_attribute("data-frame") == "40"
    assert "selected" not in both.nth(0).locator(".se-now").inner_text()
    # the keys are the explorer's as long as it is the one that was clicked last
    for k in (5, 6):
        cell = lab.page.locator(".jp-Notebook .jp-Cell").nth(k)
        cell.locator(".jp-InputArea-prompt").click()
    lab.page.keyboard.press("d")
    lab.page.keyboard.press("d")
    lab.page.wait_for_function(
        "s => document.querySelectorAll(s).length === 1", arg=browser.ROOT_SELECTOR
    )
    root.focus()
    lab.page.keyboard.press("ArrowRight")
    wait(lab, "41")
    assert "] 41 depth" in lab.ask(2)
    lab.page.locator(".jp-Notebook").click(position={"x": 3, "y": 3})


def test_tracks_that_were_corrected_take_their_place(lab, root):
    lab.page.keyboard.press("n")
    lab.page.keyboard.press("n")
    lab.page.keyboard.press("n")
    assert lab.ask(2).startswith("[2] 40")
    stage = root.locator(".se-stage")
    before = halves(pixels(stage))
    lab.ask(7)
    lab.page.wait_for_timeout(300)
    assert all(
        0 < changed(a, b) < 0.1
        for a, b in zip(before, halves(pixels(stage)), strict=True)
    )
    assert root.locator(".se-now").inner_text().endswith("1 selected: 2")
