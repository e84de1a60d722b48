// The two views: the frame with tracks over it, and the same tracks in 3D.

import { drawBox } from "./box.mjs";
import {
  boxOf, fadeOf, fitView, frameMatrix, heads, lastSeen, orbitMatrix, paintSegments,
  projectPoint, ranges, seenThere, segments, straightened, viewAxes,
} from "./core.mjs";
import { FlatDrawer } from "./draw_flat.mjs";
import { GLDrawer } from "./draw_gl.mjs";

const FOV = 0.6;
const GAP = 8;
const NARROW = 620;
const SHARE = 0.53; // of the width that the frame takes

export class Stage {
  constructor(element, { forceFlat = false } = {}) {
    this.element = element;
    this.canvases = ["base", "ink", "over"].map((name) => {
      const canvas = document.createElement("canvas");
      canvas.className = `se-${name}`;
      element.append(canvas);
      return canvas;
    });
    [this.base, this.ink, this.over] = this.canvases;
    this.flatDrawing = forceFlat;
    try {
      if (forceFlat) throw new Error("asked for");
      this.drawer = new GLDrawer(this.ink);
    } catch {
      this.drawer = new FlatDrawer(this.ink);
      this.flatDrawing = true;
    }
    this.size = { w: 1, h: 1, ratio: 1 };
    this.lost = () => {};
    // Browsers take the context away where a page has many of them.
    this.ink.addEventListener("webglcontextlost", () => !this.closed && this.fallBack());
  }

  /** Go on without WebGL, on a canvas that never had it. */
  fallBack() {
    const canvas = document.createElement("canvas");
    canvas.className = "se-ink";
    Object.assign(canvas, { width: this.ink.width, height: this.ink.height });
    this.ink.replaceWith(canvas);
    this.canvases[1] = this.ink = canvas;
    this.drawer = new FlatDrawer(canvas);
    this.flatDrawing = true;
    for (const [name, set] of this.sets()) {
      this.drawer.upload(name, set, this.n);
      this.drawer.flags(name, this.chosen);
    }
    this.lost();
  }

  load(meta, buffers) {
    const [n, length] = meta.shape;
    const sigma = buffers.sigma.length ? buffers.sigma : null;
    Object.assign(this, { meta, n, length, sigma });
    this.views = { frame: null, space: null };
    this.parts = {};
    this.box = null;
    for (const [name, dim] of [["frame", 2], ["space", 3]]) {
      const points = name === "frame" ? buffers.xy : buffers.xyz;
      if (!points.length) continue;
      const there = seenThere(points, dim, buffers.seen);
      if (dim === 3) this.box = boxOf(points, there);
      const size = dim === 2 ? 1000 : Math.hypot(...this.box.upper.map((u, d) => u - this.box.lower[d]));
      const sets = {
        fine: segments(points, dim, there, n, length),
        coarse: straightened(points, dim, there, n, length, 4e-4 * size),
      };
      this.parts[name] = { dim, points, there, sets, last: lastSeen(there, n, length) };
      for (const [kind, set] of Object.entries(sets)) this.drawer.upload(`${name} ${kind}`, set, n);
    }
    this.chosen = null;
    this.reset();
  }

  /** Values (track, time), or (track) with step 1, and the palette they go through. */
  paint(values, step, palette, fade, exact) {
    Object.assign(this, { values, step, palette, exact, fade: fade ? this.sigma : null });
    for (const [name, set] of this.sets()) {
      const rgba = paintSegments(set, values, step, this.length, palette, this.fade);
      this.drawer.colours(name, rgba);
    }
  }

  select(rows) {
    this.chosen = rows.length ? new Uint8Array(this.n) : null;
    for (const row of rows) this.chosen[row] = 1;
    for (const [name] of this.sets()) this.drawer.flags(name, this.chosen);
  }

  /** All sets of lines, with the names that the drawer knows them by. */
  sets() {
    return Object.entries(this.parts).flatMap(([name, part]) =>
      Object.entries(part.sets).map(([kind, set]) => [`${name} ${kind}`, set]),
    );
  }

  /** Height of both views that suits the frame's shape, at most the height asked for. */
  heightFor(w, most) {
    const [width, height] = this.meta.frameSize;
    if (w < NARROW) return Math.round(Math.min(2 * most, (w * height) / width + GAP + 300));
    return Math.round(Math.min(most, Math.max(Math.min(most, 330), (SHARE * w * height) / width)));
  }

  resize(w, h) {
    const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    this.size = { w, h, ratio };
    this.lastBase = this.lastOver = null;
    for (const canvas of this.canvases) {
      canvas.width = Math.round(w * ratio);
      canvas.height = Math.round(h * ratio);
    }
    if (this.meta && !this.touched) this.reset();
  }

  /** Rectangles of the two views in CSS pixels. */
  panes() {
    const { w, h } = this.size;
    if (w < NARROW) {
      const [width, height] = this.meta?.frameSize ?? [4, 3];
      const half = Math.floor(Math.min((h - GAP) / 2, (w * height) / width));
      return {
        frame: { x: 0, y: 0, w, h: half },
        space: { x: 0, y: half + GAP, w, h: h - half - GAP },
      };
    }
    const left = Math.floor(SHARE * w);
    return {
      frame: { x: 0, y: 0, w: left, h },
      space: { x: left + GAP, y: 0, w: w - left - GAP, h },
    };
  }

  paneAt(x, y) {
    return Object.entries(this.panes()).find(
      ([, p]) => x >= p.x && x < p.x + p.w && y >= p.y && y < p.y + p.h,
    )?.[0];
  }

  /** Show everything, from a little beside and above the camera. */
  reset() {
    const [width, height] = this.meta.frameSize;
    const { frame, space } = this.panes();
    const zoom = 0.985 * Math.min(frame.w / width, frame.h / height);
    this.views.frame = { x: (width - 1) / 2, y: (height - 1) / 2, zoom };
    if (this.box) {
      const view = { yaw: -0.55, pitch: 0.32, fov: FOV };
      this.views.space = fitView(view, this.box, space);
    }
    this.touched = false;
  }

  matrix(name) {
    const pane = this.panes()[name];
    return name === "frame"
      ? frameMatrix(this.views.frame, pane.w, pane.h)
      : orbitMatrix(this.views.space, pane.w / pane.h);
  }

  heads(name, t) {
    const { points, dim, last } = this.parts[name];
    return heads(points, dim, last, this.n, this.length, t);
  }

  zoom(name, factor, x, y) {
    const view = this.views[name];
    if (!view) return;
    this.touched = true;
    if (name === "space") {
      view.distance /= factor;
      return;
    }
    const pane = this.panes().frame;
    const dx = (x ?? pane.x + pane.w / 2) - pane.x - pane.w / 2;
    const dy = (y ?? pane.y + pane.h / 2) - pane.y - pane.h / 2;
    view.x += (dx / view.zoom) * (1 - 1 / factor);
    view.y += (dy / view.zoom) * (1 - 1 / factor);
    view.zoom *= factor;
  }

  pan(name, dx, dy) {
    const view = this.views[name];
    if (!view) return;
    this.touched = true;
    if (name === "frame") {
      view.x -= dx / view.zoom;
      view.y -= dy / view.zoom;
      return;
    }
    const { right, down } = viewAxes(view.yaw, view.pitch);
    const unit = (2 * view.distance * Math.tan(view.fov / 2)) / this.panes().space.h;
    view.target = view.target.map((v, d) => v - unit * (dx * right[d] + dy * down[d]));
  }

  orbit(dx, dy) {
    const view = this.views.space;
    if (!view) return;
    this.touched = true;
    view.yaw -= 0.008 * dx;
    view.pitch = Math.min(1.55, Math.max(-1.55, view.pitch + 0.008 * dy));
  }

  /** Place in the frame, in pixels of the video. */
  inFrame(x, y) {
    const pane = this.panes().frame;
    const view = this.views.frame;
    return [
      view.x + (x - pane.x - pane.w / 2) / view.zoom,
      view.y + (y - pane.y - pane.h / 2) / view.zoom,
    ];
  }

  draw(state, picture, theme, tail = state.tail) {
    const panes = this.panes();
    const { w, h } = this.size;
    // What has not changed is not drawn again: a canvas that is touched costs its copy.
    const same = [w, h, theme, this.meta, ...Object.values(this.views).flatMap((v) => (v ? Object.values(v) : []))];
    if (changed(this, "lastBase", [...same, picture])) this.drawBase(panes, picture, theme);
    this.drawer.begin(this.size.ratio);
    for (const [name, part] of Object.entries(this.parts)) {
      const look = {
        name, pane: panes[name], matrix: this.matrix(name), chosen: this.chosen,
        now: state.frame, tail, rest: this.chosen ? 0.38 : 1,
        width: name === "frame" ? 1.7 : 1.5,
        // many points are small ones, or they would cover what they lie on
        radius: Math.min(3.4, Math.max(1.5, 3.4 * (150 / this.n) ** 0.25)),
        rim: theme.rim, mark: theme.mark,
      };
      const { fine, coarse } = part.sets;
      // Flags of single frames must not vanish in pieces that span several.
      const pieces = ranges(fine, this.exact ? null : coarse, state.frame, tail);
      for (const [straight, a, b] of pieces) {
        this.drawer.lines(`${name} ${straight ? "coarse" : "fine"}`, a, b, look);
      }
      this.drawer.dots(this.dots(name, state.frame, look.rest), look);
    }
    const { frame, picks, lasso, hover, overFrame } = state;
    const over = [...same, hover, overFrame, lasso?.length, picks, picks.length && frame];
    const any = picks.length || lasso || hover || overFrame || !this.parts.space;
    this.over.style.display = any ? "" : "none"; // or it would be blended for nothing
    if (any && changed(this, "lastOver", over)) this.drawOver(panes, state, theme);
  }

  /** Heads as the drawer takes them: far ones first, the selected on top. */
  dots(name, t, rest) {
    const now = this.heads(name, t);
    const order = Array.from(now.track.keys());
    const at = (k) => {
      if (name === "frame") return 0;
      const m = this.matrix3d;
      return m[3] * now.place[3 * k] + m[7] * now.place[3 * k + 1] + m[11] * now.place[3 * k + 2];
    };
    this.matrix3d = name === "space" ? this.matrix("space") : null;
    const far = order.map(at);
    const chosen = (k) => (this.chosen ? this.chosen[now.track[k]] : 0);
    order.sort((a, b) => chosen(a) - chosen(b) || far[b] - far[a]);
    const out = {
      count: now.count,
      place: new Float32Array(4 * now.count),
      colour: new Uint8Array(4 * now.count),
    };
    order.forEach((k, i) => {
      const row = now.track[k];
      const last = this.parts[name].last.at[row * this.length + t];
      const value = row * this.length + last;
      const colour = this.palette(this.values[this.step === 1 ? row : value]);
      out.place.set(now.place.subarray(3 * k, 3 * k + 3), 4 * i);
      out.place[4 * i + 3] = now.hollow[k] + 2 * chosen(k);
      const alpha = (this.fade ? fadeOf(this.fade[value]) : 1) * (chosen(k) ? 1 : rest);
      out.colour.set([colour >> 16, (colour >> 8) & 255, colour & 255, 255 * alpha], 4 * i);
    });
    return out;
  }

  drawBase(panes, picture, theme) {
    const c = this.base.getContext("2d");
    const { ratio, w, h } = this.size;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.fillStyle = theme.back;
    c.fillRect(0, 0, w, h);
    const pane = panes.frame;
    const view = this.views.frame;
    const [width, height] = this.meta.frameSize;
    inPane(c, pane, () => {
      c.fillStyle = theme.panel;
      c.fillRect(pane.x, pane.y, pane.w, pane.h);
      const x = pane.x + pane.w / 2 + (-0.5 - view.x) * view.zoom;
      const y = pane.y + pane.h / 2 + (-0.5 - view.y) * view.zoom;
      c.imageSmoothingEnabled = view.zoom < 4;
      if (picture) {
        c.drawImage(picture, x, y, width * view.zoom, height * view.zoom);
      } else {
        c.strokeStyle = theme.grid;
        c.strokeRect(x, y, width * view.zoom, height * view.zoom);
      }
    });
    if (!this.box) return;
    inPane(c, panes.space, () => {
      const space = this.views.space;
      const { forward } = viewAxes(space.yaw, space.pitch);
      const eye = space.target.map((v, d) => v - space.distance * forward[d]);
      const { box, meta } = this;
      const { unit, camera, frameSize, intrinsics } = meta;
      const scene = { box, unit, camera, frameSize, intrinsics };
      drawBox(c, scene, this.matrix("space"), eye, panes.space, theme);
    });
  }

  drawOver(panes, state, theme) {
    const c = this.over.getContext("2d");
    const { ratio, w, h } = this.size;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, w, h);
    inPane(c, panes.frame, () => this.drawPicks(c, panes.frame, state, theme));
    c.font = theme.font;
    if (!this.parts.space) {
      c.fillStyle = theme.faint;
      c.textAlign = "center";
      c.textBaseline = "middle";
      this.meta.no3d.split("\n").forEach((text, k, all) => {
        const { x, y } = panes.space;
        const middle = y + panes.space.h / 2 + 20 * (k - (all.length - 1) / 2);
        c.fillText(text, x + panes.space.w / 2, middle, panes.space.w - 20);
      });
    }
    if (state.overFrame) label(c, state.overFrame, panes.frame.x + 8, panes.frame.y + 8, theme);
    if (state.lasso) {
      c.strokeStyle = theme.accent;
      c.lineWidth = 1.5;
      c.setLineDash([5, 3]);
      c.beginPath();
      state.lasso.forEach(([x, y]) => c.lineTo(x, y));
      c.closePath();
      c.stroke();
      c.setLineDash([]);
    }
    if (state.hover) label(c, state.hover.text, state.hover.x + 12, state.hover.y - 26, theme, w);
  }

  /** Points picked on a frame: crosses, strong on their own frame. */
  drawPicks(c, pane, state, theme) {
    const matrix = this.matrix("frame");
    for (const [time, x, y] of state.picks) {
      const at = projectPoint(matrix, [x, y, 0], pane);
      if (!at) continue;
      c.globalAlpha = time === this.meta.times[state.frame] ? 1 : 0.35;
      for (const [colour, width] of [[theme.under, 4], [theme.pick, 2]]) {
        c.strokeStyle = colour;
        c.lineWidth = width;
        c.beginPath();
        c.arc(at[0], at[1], 6, 0, 2 * Math.PI);
        for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
          c.moveTo(at[0] + 3 * dx, at[1] + 3 * dy);
          c.lineTo(at[0] + 10 * dx, at[1] + 10 * dy);
        }
        c.stroke();
      }
    }
    c.globalAlpha = 1;
  }

  close() {
    this.closed = true;
    this.drawer.close();
  }
}

/** Whether a list differs from the one that was kept under the name; keeps the new one. */
function changed(owner, name, list) {
  const before = owner[name];
  owner[name] = list;
  return !before || before.length !== list.length || list.some((v, k) => v !== before[k]);
}

function inPane(c, pane, draw) {
  c.save();
  c.beginPath();
  c.rect(pane.x, pane.y, pane.w, pane.h);
  c.clip();
  draw();
  c.restore();
}

function label(c, text, x, y, theme, limit = Infinity) {
  c.font = theme.small;
  c.textAlign = "left";
  c.textBaseline = "middle";
  const width = c.measureText(text).width + 12;
  const left = Math.max(2, Math.min(x, limit - width - 2));
  const top = Math.max(2, y);
  c.fillStyle = theme.label;
  c.beginPath();
  c.roundRect(left, top, width, 20, 4);
  c.fill();
  c.fillStyle = theme.ink;
  c.fillText(text, left + 6, top + 10.5);
}
