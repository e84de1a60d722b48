// The explorer: state, playing, keys. It knows nothing of Jupyter; a source gives it
// data, and is told what the user changes.

import { fromBase64, paletteOf } from "./core.mjs";
import { drawLegend, make, makeControls, showState } from "./controls.mjs";
import { listen } from "./pointer.mjs";
import { drawPlot, frameAt } from "./plot.mjs";
import { Reel } from "./reel.mjs";
import { Stage } from "./stage.mjs";
import { readTheme, watchTheme } from "./theme.mjs";

const PLOT_HEIGHT = 170;
const LEAST_TAIL = 4; // frames, of tails that are shortened to keep up
const PATIENCE = 400; // ms that playing waits for a frame of the video

export class Explorer {
  /**
   * source: values(name) promises { spec, values }; picture(index, width) promises JPEG
   * bytes or null; changed(name, value) hears of frame, colour, tail, fade, selection
   * and picks.
   */
  constructor(root, source, { height = 420, forceFlat = false } = {}) {
    this.root = root;
    this.height = height;
    this.source = source;
    root.classList.add("seurat-explorer");
    root.tabIndex = 0;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", HELP);
    // Keys pressed here are ours, not commands of the notebook.
    root.setAttribute("data-lm-suppress-shortcuts", "true");
    this.stageBox = make("div", { className: "se-stage" });
    this.plot = make("canvas", {
      className: "se-plot", role: "img", "aria-label": "depth over time of the selection",
    });
    this.plot.style.height = `${PLOT_HEIGHT}px`;
    this.status = make("div", { className: "se-status", role: "status", "aria-live": "polite" });
    root.append(this.stageBox, this.plot, this.status);
    this.stage = new Stage(this.stageBox, { forceFlat });
    this.stage.lost = () => {
      if (this.painted) this.repaint();
      this.redraw();
    };
    this.reel = new Reel((i, width) => source.picture(i, width), () => this.redraw());
    this.state = {
      frame: 0, tool: "look", colour: "", tail: 20, fade: true, rate: 1, playing: false,
      selection: [], picks: [], lasso: null, hover: null, overFrame: "",
    };
    this.drawn = 0;
    this.shortTail = Infinity;
    this.pace = null;
    this.messages = { kernel: "" };
    this.stops = [listen(this), this.watch()];
  }

  watch() {
    const sized = new ResizeObserver(() => this.resize());
    sized.observe(this.root);
    const stopTheme = watchTheme(() => {
      clearTimeout(this.themeTimer);
      this.themeTimer = setTimeout(() => this.painted && this.retheme(), 60);
    });
    const keys = (event) => this.key(event);
    this.root.addEventListener("keydown", keys);
    this.plot.addEventListener("pointerdown", (event) => {
      const [, length] = this.meta.shape;
      this.act("frame", frameAt(event.offsetX, this.plot.clientWidth, length));
    });
    return () => {
      sized.disconnect();
      stopTheme();
      clearTimeout(this.themeTimer);
    };
  }

  /** Show other data; state is kept where it fits. */
  load(meta, buffers, state = {}) {
    this.meta = { ...meta, hasSigma: buffers.sigma.length > 0 };
    this.buffers = buffers;
    this.tables = Object.fromEntries(
      Object.entries(meta.maps).map(([name, text]) => [name, fromBase64(text)]),
    );
    Object.assign(this.state, state);
    const [n, length] = meta.shape;
    this.state.frame = Math.min(Math.max(0, this.state.frame), Math.max(0, length - 1));
    this.state.selection = this.state.selection.filter((row) => row >= 0 && row < n);
    this.controls?.bar.remove();
    this.controls?.row.remove();
    this.controls = makeControls(this.meta, (name, value) => this.act(name, value));
    this.root.insertBefore(this.controls.row, this.stageBox);
    this.root.insertBefore(this.controls.bar, this.plot);
    this.reel.clear();
    this.theme = readTheme(this.root, meta.categories);
    this.spec = { label: "", kind: "scale", limits: [0, 1], log: false, map: "viridis" };
    this.values = new Float32Array(n).fill(NaN);
    this.step = 1;
    this.stage.load(this.meta, buffers);
    this.stage.select(this.state.selection);
    this.painted = false; // until the colours are there, or known not to come
    this.resize();
    return this.recolour();
  }

  /** What the user, or the program, asks for. */
  act(name, value) {
    const { state } = this;
    if (name === "play") return this.play(!state.playing);
    if (name === "reset") this.stage.reset();
    else if (name === "frame") this.seek(value);
    else if (name === "colour") {
      state.colour = value;
      this.source.changed("colour", value);
      this.recolour();
    } else {
      state[name] = value;
      if (name === "fade") this.repaint();
      if (name === "selection") this.stage.select(value);
      if (name === "tool") this.stageBox.dataset.tool = value;
      if (name !== "tool" && name !== "rate") this.source.changed(name, value);
    }
    this.redraw();
    return undefined;
  }

  seek(index) {
    const last = this.meta.shape[1] - 1;
    const frame = Math.min(last, Math.max(0, index));
    if (frame === this.state.frame) return;
    this.state.frame = frame;
    this.state.hover = null;
    this.source.changed("frame", this.meta.times[frame]);
    this.redraw();
  }

  play(on) {
    const [, length] = this.meta.shape;
    this.state.playing = on && length > 1;
    if (this.state.playing) {
      if (this.state.frame >= length - 1) this.seek(0);
      let then = performance.now();
      let before = then;
      const tick = (now) => {
        if (!this.state.playing || this.closed) return;
        const wait = 1000 / (this.meta.fps * this.state.rate);
        this.keepUp(now - before, Math.max(wait, 1000 / 30));
        before = now;
        const next = this.state.frame + 1;
        if (next >= length) {
          this.play(false);
          return;
        }
        // Half a tick early is on time: ticks come when the screen is drawn.
        if (now - then >= wait - 4 && (this.hasPicture(next) || now - then > wait + PATIENCE)) {
          then = Math.max(then + wait, now - wait);
          this.seek(next);
        }
        if (this.meta.hasVideo) this.reel.ahead(this.state.frame, 8, length);
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    }
    this.pace = null;
    this.shortTail = Infinity;
    this.redraw();
  }

  /** Shorten tails while playing where drawing takes longer than a frame lasts. */
  keepUp(took, wait) {
    this.pace = this.pace === null ? wait : 0.85 * this.pace + 0.15 * took;
    const tail = Math.min(this.state.tail, this.shortTail);
    if (this.pace < 1.4 * wait || tail <= LEAST_TAIL) return;
    this.shortTail = Math.max(LEAST_TAIL, Math.round(0.6 * Math.min(tail, 100)));
    this.pace = null;
  }

  hasPicture(index) {
    if (!this.meta.hasVideo || this.reel.failed) return true;
    return this.reel.bitmaps.has(index) || this.reel.bytes.get(index) === null;
  }

  async recolour() {
    const name = this.state.colour;
    const patience = setTimeout(() => this.say("Waiting for the kernel ..."), 1500);
    try {
      const { spec, values } = await this.source.values(name);
      if (name !== this.state.colour || this.closed) return;
      this.spec = spec;
      this.values = values;
      this.step = values.length === this.meta.shape[0] && this.meta.shape[1] !== 1 ? 1 : 0;
      this.messages.kernel = "";
      this.root.dataset.colour = name;
      this.repaint();
    } catch (error) {
      this.say(String(error.message ?? error));
      if (!this.painted) this.repaint();
    } finally {
      clearTimeout(patience);
    }
    this.redraw();
  }

  repaint() {
    this.painted = true;
    this.palette = paletteOf(
      this.spec, this.tables[this.spec.map], this.meta.categories, this.theme.dark,
    );
    const exact = this.spec.kind === "category" && this.step !== 1;
    this.stage.paint(this.values, this.step, this.palette, this.state.fade, exact);
    drawLegend(this.controls.legend, this.spec, this.palette, this.theme);
  }

  retheme() {
    this.theme = readTheme(this.root, this.meta.categories);
    this.repaint();
    this.redraw();
  }

  resize() {
    const w = this.stageBox.clientWidth;
    if (!w || !this.meta) return;
    const h = this.stage.heightFor(w, this.height);
    this.stageBox.style.height = `${h}px`;
    this.stage.resize(w, h);
    const ratio = this.stage.size.ratio;
    this.plot.width = Math.round(this.plot.clientWidth * ratio);
    this.plot.height = Math.round(PLOT_HEIGHT * ratio);
    const pane = this.stage.panes().frame.w * ratio;
    this.reel.width = Math.min(1280, Math.max(320, 160 * Math.ceil(pane / 160)));
    // The first time it has a size it also has its style sheet.
    this.emptyPlot = null;
    const before = this.theme.dark;
    this.theme = readTheme(this.root, this.meta.categories);
    if (this.painted && this.theme.dark !== before) this.repaint();
    else if (this.painted) drawLegend(this.controls.legend, this.spec, this.palette, this.theme);
    this.draw(); // at once: an emptied canvas would flash
  }

  say(text) {
    this.messages.kernel = text;
    this.redraw();
  }

  redraw() {
    if (this.pending || this.closed || !this.meta) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (!this.closed) this.draw();
    });
  }

  draw() {
    const { state, meta, stage, theme } = this;
    if (stage.size.w < 2 || !this.painted) return;
    let picture = null;
    state.overFrame = "";
    if (meta.hasVideo) {
      picture = this.reel.get(state.frame);
      if (this.reel.failed) state.overFrame = "no frame: the kernel does not answer";
      else if (picture === false) state.overFrame = `the video has no frame ${meta.times[state.frame]}`;
      else if (!picture) state.overFrame = "frame is loading";
    } else {
      state.overFrame = meta.noVideo ?? "";
    }
    stage.draw(state, picture, theme, Math.min(state.tail, this.shortTail));
    this.drawPlot(state, meta, stage, theme);
    showState(this.controls, state, meta);
    const flat = stage.flatDrawing ? "WebGL is missing here: drawing is slow." : "";
    const short = this.shortTail < state.tail ? "Tails are shortened while playing, to keep up." : "";
    const text = [meta.note, flat, short, this.messages.kernel].filter(Boolean).join(" ");
    if (this.status.textContent !== text) this.status.textContent = text;
    // Marks for whoever watches from outside.
    this.drawn += 1;
    this.root.dataset.drawn = this.drawn;
    this.root.dataset.frame = meta.times[state.frame];
    this.root.dataset.picture = picture ? "shown" : state.overFrame;
  }

  drawPlot(state, meta, stage, theme) {
    if (!state.selection.length && this.emptyPlot === theme && this.plotWidth === this.plot.width) return;
    this.emptyPlot = state.selection.length ? null : theme;
    this.plotWidth = this.plot.width;
    const c = this.plot.getContext("2d");
    c.setTransform(stage.size.ratio, 0, 0, stage.size.ratio, 0, 0);
    drawPlot(c, this.plot.clientWidth, PLOT_HEIGHT, {
      length: meta.shape[1], times: meta.times, ids: meta.ids, selected: state.selection,
      depth: this.buffers.depth.length ? this.buffers.depth : null,
      sigma: this.buffers.sigma.length ? this.buffers.sigma : null,
      seen: this.buffers.seen, label: meta.depthLabel, now: state.frame,
    }, theme);
  }

  key(event) {
    const tag = event.target.tagName;
    const native = { INPUT: "range", BUTTON: "button", SELECT: "select" }[tag];
    if (event.ctrlKey || event.metaKey) return;
    const { state, meta } = this;
    const stepBy = event.shiftKey ? 10 : 1;
    const act = {
      " ": () => this.act("play"),
      ArrowLeft: () => (event.altKey ? this.stage.orbit(-20, 0) : this.seek(state.frame - stepBy)),
      ArrowRight: () => (event.altKey ? this.stage.orbit(20, 0) : this.seek(state.frame + stepBy)),
      ArrowUp: () => this.stage.orbit(0, 20),
      ArrowDown: () => this.stage.orbit(0, -20),
      Home: () => this.seek(0),
      End: () => this.seek(meta.shape[1] - 1),
      "+": () => this.stage.zoom(this.lastPane ?? "space", 1.2),
      "=": () => this.stage.zoom(this.lastPane ?? "space", 1.2),
      "-": () => this.stage.zoom(this.lastPane ?? "space", 1 / 1.2),
      n: () => this.selectNext(1),
      p: () => this.selectNext(-1),
      Escape: () => this.act("selection", []),
    }[event.key];
    // Lists and buttons keep the keys that they use themselves.
    const theirs = native === "select" ? [" ", "ArrowUp", "ArrowDown", "Home", "End", "n", "p"] : [" "];
    if (!act || !meta || (native && native !== "range" && theirs.includes(event.key))) {
      if (native) event.stopPropagation();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    act();
    this.redraw();
  }

  /** Select the next, or the previous, track that stands in this frame. */
  selectNext(by) {
    const { stage, state } = this;
    const here = stage.heads("frame", state.frame).track;
    if (!here.length) return;
    const [now] = by > 0 ? state.selection.slice(-1) : state.selection;
    // Tracks come in order, so the nearest one beyond the selected one is the next.
    let k = by > 0 ? here.findIndex((row) => row > now) : here.findLastIndex((row) => row < now);
    if (k < 0) k = by > 0 ? 0 : here.length - 1;
    this.act("selection", [here[k]]);
  }

  close() {
    this.closed = true;
    this.stops.forEach((stop) => stop());
    this.stage.close();
  }
}

const HELP =
  "Track explorer. Space plays, left and right step through frames (with shift by ten), " +
  "Home and End jump, plus and minus zoom, up and down turn the 3D view, n and p select " +
  "the next and the previous track, Escape clears the selection.";
