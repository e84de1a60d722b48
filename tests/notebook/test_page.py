"""Pages that open without Python."""

import io
import json
import re

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from seurat_tracks.errors import SeuratTracksError
from seurat_tracks.notebook.page import _stored
from tests.notebook import browser

HOSTILE = "</script><script>document.title='broken'</script><!--"


@pytest.fixture(scope="module")
def chrome():
    if reason := browser.missing():
        pytest.skip(reason)
    with browser.chromium() as running:
        yield running


def meta_of(page):
    text = re.search(r'id="seurat-meta">(.*?)</script>', page, re.S)[1]
    return json.loads(text)


class TestWriting:
    def test_a_file_or_a_string(self, scene, tmp_path):
        ds, video = scene
        text = ds.seurat.to_html(video=video)
        path = ds.seurat.to_html(tmp_path / "a.html", video=video)
        assert path.read_text("utf-8") == text
        assert text.isascii() or "charset" in text
        assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
        before = path.read_bytes()
        with pytest.raises(SeuratTracksError, match="overwrite=True"):
            ds.seurat.to_html(path)
        assert path.read_bytes() == before
        ds.seurat.to_html(path, overwrite=True)
        assert path.read_bytes() != before
        for bad in (tmp_path, tmp_path / "none" / "a.html"):
            with pytest.raises(SeuratTracksError, match="give the path of a file"):
                ds.seurat.to_html(bad)

    def test_every_frame_and_every_track_where_they_fit(self, scene):
        ds, video = scene
        page = ds.seurat.to_html(video=video)
        assert len(re.findall(r'id="seurat-frame-\d+"', page)) == 22
        meta = meta_of(page)["meta"]
        assert meta["shape"] == [150, 22]
        assert meta["note"] == ""

    def test_less_is_written_and_said_where_they_do_not(self, scene):
        ds, video = scene
        for limit in (400_000, 250_000, 160_000):
            page = ds.seurat.to_html(video=video, max_bytes=limit)
            assert len(page.encode()) <= limit
        meta = meta_of(page)["meta"]
        assert re.search(r"\d+ of 150 tracks are in this page", meta["note"])
        assert meta["shape"][0] < 150
        with pytest.raises(SeuratTracksError, match="max_bytes=100,000"):
            ds.seurat.to_html(video=video, max_bytes=100_000)

    def test_a_video_of_another_length(self, scene):
        ds, video = scene
        for part in (video[:5], video[3:], video[4:12:3]):
            meta = meta_of(ds.seurat.to_html(video=part))["meta"]
            have = part.time.values.tolist()
            assert meta["picture"] == [t if t in have else None for t in range(40, 62)]
        noise = np.random.default_rng(0).integers(0, 255, video.shape, np.uint8)
        page = ds.seurat.to_html(video=video.copy(data=noise), max_bytes=250_000)
        picture = meta_of(page)["meta"]["picture"]
        assert picture[0] == 40
        assert None not in picture
        assert len(set(picture)) < 22
        assert all(p <= t for p, t in zip(picture, range(40, 62), strict=True))
        page = ds.seurat.to_html(video=video.assign_coords(time=np.arange(22)))
        meta = meta_of(page)["meta"]
        assert "has none of these frames" in meta["note"]
        assert meta["picture"] == [None] * 22

    def test_colours_are_those_asked_for(self, scene):
        ds, _ = scene
        assert meta_of(ds.seurat.to_html(colours=["speed"]))["meta"]["colours"] == [
            "speed"
        ]
        with pytest.raises(SeuratTracksError, match="cannot colour by 'x'"):
            ds.seurat.to_html(colours=["x"])

    def test_steps_lose_next_to_nothing(self, rng):
        values = rng.normal(0, 5, (7, 9)).astype(np.float32)
        values[2, 3] = np.nan
        kind, data = _stored(values, exact=False)
        steps = np.frombuffer(data, "<u2").reshape(7, 9)
        back = kind["low"] + steps * (kind["high"] - kind["low"]) / 65534
        assert steps[2, 3] == 65535
        known = np.isfinite(values)
        assert np.abs(back - values)[known].max() < np.ptp(values[known]) / 65534
        for flat in (np.full(3, 2.0), np.full(3, np.nan)):
            kind, data = _stored(flat, exact=False)
            assert json.dumps(kind, allow_nan=False)

    def test_hostile_text_stays_text(self, scene):
        ds, _ = scene
        ids = [f"{HOSTILE}{k}" for k in range(150)]
        bad = ds.assign_coords(track=ids).assign(name=("track", ids))
        page = bad.assign_attrs(
            video=HOSTILE, frame_of_reference=HOSTILE
        ).seurat.to_html(title=HOSTILE, colours=["depth", "name"], video=None)
        assert "broken'</script>" not in page
        assert page.count("<script") == page.count("</script>")
        assert meta_of(page)["meta"]["ids"] == ids


class TestOpened:
    """The page in a browser that is offline, with its own policy in force."""

    def show(self, chrome, path, **settings):
        context = chrome.new_context(
            offline=True, viewport={"width": 1100, "height": 800}, **settings
        )
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        faults, asked = [], []
        tab.on("console", lambda m: m.type == "error" and faults.append(m.text))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(path.as_uri())
        tab.wait_for_selector(f"{browser.ROOT_SELECTOR}[data-drawn]")
        return context, tab, faults, asked

    def test_drawn_moved_selected_and_nothing_loaded(self, chrome, scene, tmp_path):
        ds, video = scene
        path = ds.seurat.to_html(tmp_path / "a.html", video=video)
        context, tab, faults, asked = self.show(chrome, path)
        tab.wait_for_selector("[data-picture=shown]")
        root = tab.locator(browser.ROOT_SELECTOR)
        before = root.screenshot()
        root.focus()
        tab.keyboard.press("End")
        tab.wait_for_selector("[data-frame='61'][data-picture=shown]")
        tab.wait_for_timeout(200)
        moved = root.screenshot()
        assert moved != before
        box = tab.locator(".se-stage").bounding_box()
        x, y = box["x"], box["y"]
        tab.mouse.move(x + 0.6 * box["width"], y + 10)
        tab.keyboard.down("Shift")
        tab.mouse.down()
        for to in ((0.99, 0.02), (0.99, 0.98), (0.6, 0.98)):
            tab.mouse.move(x + to[0] * box["width"], y + to[1] * box["height"])
        tab.mouse.up()
        tab.keyboard.up("Shift")
        tab.wait_for_function(
            "() => /\\d+ selected/.test(document.querySelector('.se-now').textContent)"
        )
        assert root.screenshot() != moved
        assert faults == []
        assert asked == [path.as_uri()]
        context.close()

    def test_hostile_ids_do_not_break_out(self, chrome, scene, tmp_path):
        ds, _ = scene
        ids = [f"{HOSTILE}{k}" for k in range(150)]
        bad = ds.assign_coords(track=ids)
        path = bad.seurat.to_html(tmp_path / "a.html", title=HOSTILE, colour="track")
        context, tab, faults, _ = self.show(chrome, path)
        assert tab.title() == HOSTILE
        assert tab.locator("script:not([type])").count() == 0
        assert faults == []
        context.close()

    def test_the_policy_forbids_other_scripts(self, chrome, scene, tmp_path):
        ds, _ = scene
        text = ds.seurat.to_html()
        path = tmp_path / "a.html"
        path.write_text(
            text.replace("</body>", "<script>document.title='broken'</script></body>")
        )
        context, tab, faults, _ = self.show(chrome, path)
        assert tab.title() == "Tracks in 3D"
        assert any("Content Security Policy" in fault for fault in faults)
        context.close()

    @pytest.mark.parametrize(
        "kind", ["flat", "one track", "one frame", "hidden", "nan"]
    )
    def test_odd_ones(self, chrome, scene, tmp_path, kind):
        ds, _ = scene
        odd = {
            "flat": ds[["xy", "visible"]],
            "one track": ds.isel(track=[0]),
            "one frame": ds.isel(time=[3]),
            "hidden": ds.assign(visible=xr.zeros_like(ds["visible"])),
            "nan": ds.assign(xyz=ds["xyz"] * np.nan, depth=ds["depth"] * np.nan),
        }[kind]
        path = odd.seurat.to_html(tmp_path / "a.html")
        context, tab, faults, _ = self.show(chrome, path)
        tab.locator(browser.ROOT_SELECTOR).focus()
        for key in ("End", "ArrowLeft", "Space", "+", "-", "ArrowUp", "Home", "Escape"):
            tab.keyboard.press(key)
        for colour in tab.locator(
            "select[aria-label='colour by'] option"
        ).all_inner_texts():
            tab.select_option("select[aria-label='colour by']", colour)
        tab.wait_for_timeout(300)
        assert faults == []
        context.close()

    def test_frames_that_the_video_lacks(self, chrome, scene, tmp_path):
        ds, video = scene
        path = ds.seurat.to_html(tmp_path / "a.html", video=video[:5])
        context, tab, faults, _ = self.show(chrome, path)
        tab.wait_for_selector("[data-frame='40'][data-picture=shown]")
        root = tab.locator(browser.ROOT_SELECTOR)
        root.focus()
        tab.keyboard.press("End")
        tab.wait_for_selector("[data-picture='the video has no frame 61']")
        root.evaluate(
            """root => { window.shown = new Set(); new MutationObserver(
            () => shown.add(root.dataset.frame)
            ).observe(root, { attributes: true }) }"""
        )
        tab.keyboard.press("Space")  # plays on through them, to the end
        tab.wait_for_function("() => shown.has('40') && shown.has('61')")
        assert tab.evaluate("shown.size") > 3
        assert faults == []
        context.close()

    def test_dark_is_dark(self, chrome, scene, tmp_path):
        ds, _ = scene
        path = ds.seurat.to_html(tmp_path / "a.html")
        shades = []
        for scheme in ("light", "dark"):
            context, tab, _, _ = self.show(chrome, path, color_scheme=scheme)
            shades.append(
                tab.evaluate(
                    """() => { const c = document.querySelector('.se-base');
                    const d = c.getContext('2d').getImageData(c.width - 5, 5, 1, 1);
                    return d.data[0] }"""
                )
            )
            context.close()
        assert shades[0] > 200
        assert shades[1] < 60

    def test_without_webgl(self, chrome, scene, tmp_path):
        ds, _ = scene
        path = ds.seurat.to_html(tmp_path / "a.html", tail=40)
        context, tab, faults, _ = self.show(chrome, path)
        tab.locator(browser.ROOT_SELECTOR).focus()
        tab.keyboard.press("End")
        tab.wait_for_timeout(400)
        drawn = tab.locator(".se-stage").screenshot()
        tab.evaluate(
            "document.querySelector('.se-ink').getContext('webgl2')"
            ".getExtension('WEBGL_lose_context').loseContext()"
        )
        tab.wait_for_selector(".se-status:has-text('WebGL is missing')")
        tab.wait_for_timeout(400)
        assert tab.evaluate(
            "() => document.querySelector('.se-ink').getContext('2d') !== null"
        )
        again = tab.locator(".se-stage").screenshot()
        context.close()
        first, second = (
            np.asarray(Image.open(io.BytesIO(p)).convert("RGB")).astype(int)
            for p in (drawn, again)
        )
        # the same picture, but for how edges are smoothed
        assert (np.abs(first - second).max(-1) > 100).mean() < 0.01
        coloured = np.ptp(second, axis=-1) > 60
        assert coloured.sum() > 0.5 * (np.ptp(first, axis=-1) > 60).sum() > 100
        assert [f for f in faults if "CONTEXT_LOST" not in f] == []
