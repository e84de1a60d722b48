// Buttons, lists, the time slider and the legend, as native elements.

import { short, ticks } from "./core.mjs";

const ICONS = {
  play: "M3 1 L13 7 L3 13 Z",
  pause: "M3 1 H6 V13 H3 Z M9 1 H12 V13 H9 Z",
};

/** Make an element with properties, attributes (with a dash or role) and children. */
export function make(tag, settings = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(settings)) {
    if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/** The rows of controls; act(name, value) is called when the user changes one. */
export function makeControls(meta, act) {
  const play = make("button", { type: "button", className: "se-play" });
  play.addEventListener("click", () => act("play"));
  const time = make("input", {
    type: "range", className: "se-time", min: 0, max: Math.max(0, meta.times.length - 1),
    step: 1, "aria-label": "frame",
  });
  time.addEventListener("input", () => act("frame", Number(time.value)));
  const now = make("span", { className: "se-now" });
  const rate = choice("playing speed", [0.25, 0.5, 1, 2].map((r) => [r, `${r} ×`]), (v) =>
    act("rate", Number(v)),
  );

  const colour = choice("colour by", [], (v) => act("colour", v));
  const tail = choice(
    "tail in frames",
    [[1, "none"], [10, "10 frames"], [20, "20 frames"], [50, "50 frames"], [100, "100 frames"], [1e9, "all frames"]],
    (v) => act("tail", Number(v)),
  );
  const fade = make("input", { type: "checkbox" });
  fade.addEventListener("change", () => act("fade", fade.checked));
  const names = [["look", "Look", "Drag turns the 3D view and moves the frame; click selects"]];
  names.push(["lasso", "Lasso", "Drag around points in either view to select them"]);
  if (meta.canPick) names.push(["pick", "Pick", "Click on the frame to add a query point"]);
  const tools = make("span", { className: "se-tools", role: "group", "aria-label": "tool" });
  for (const [name, text, title] of names) {
    const button = make("button", { type: "button", textContent: text, title });
    button.dataset.tool = name;
    button.addEventListener("click", () => act("tool", name));
    tools.append(button);
  }
  const reset = make("button", { type: "button", textContent: "Reset view", className: "se-reset" });
  reset.addEventListener("click", () => act("reset"));
  const legend = make("canvas", { className: "se-legend", role: "img", "aria-label": "legend" });

  const bar = make("div", { className: "se-row" }, play, time, now, rate);
  const fadeLabel = make("label", { title: "Faint lines are uncertain" }, fade, "fade by sigma");
  if (!meta.hasSigma) fadeLabel.style.display = "none";
  const row = make(
    "div", { className: "se-row" },
    make("label", {}, "colour", colour), make("label", {}, "tail", tail), fadeLabel,
    tools, reset, legend,
  );
  return { bar, row, play, time, now, rate, colour, tail, fade, tools, legend };
}

/** Bring the controls in line with the state. */
export function showState(controls, state, meta) {
  const t = state.frame;
  const seconds = meta.seconds ? ` · ${meta.seconds[t].toFixed(2)} s` : "";
  const count = state.selection.length;
  const one = count === 1 ? `: ${meta.ids[state.selection[0]].slice(0, 12)}` : "";
  const chosen = count ? ` · ${count} selected${one}` : "";
  controls.now.textContent = `frame ${meta.times[t]}${seconds}${chosen}`;
  controls.time.value = t;
  controls.time.setAttribute("aria-valuetext", `frame ${meta.times[t]}`);
  controls.rate.value = state.rate;
  if (![...controls.tail.options].some((o) => Number(o.value) === state.tail)) {
    controls.tail.append(new Option(`${state.tail} frames`, state.tail));
  }
  controls.tail.value = state.tail;
  controls.fade.checked = state.fade;
  if (controls.shown !== meta.colours) {
    controls.shown = meta.colours;
    controls.colour.replaceChildren(...meta.colours.map((name) => new Option(name, name)));
  }
  controls.colour.value = state.colour;
  for (const button of controls.tools.children) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === state.tool));
  }
  if (controls.playing !== state.playing) {
    controls.playing = state.playing;
    controls.play.setAttribute("aria-label", state.playing ? "pause" : "play");
    controls.play.replaceChildren(icon(ICONS[state.playing ? "pause" : "play"]));
  }
}

/** Draw what the colours mean. */
export function drawLegend(canvas, spec, palette, theme) {
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const [w, h] = [196, 34];
  canvas.width = w * ratio;
  canvas.height = h * ratio;
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  c.font = theme.small;
  c.fillStyle = theme.ink;
  c.textBaseline = "top";
  canvas.setAttribute("aria-label", `colours: ${spec.label}`);
  if (spec.kind === "category") {
    c.fillText(spec.label, 4, 0, w - 8);
    if (!spec.categories.length) c.fillText("colours repeat", 4, 18);
    let x = 4;
    spec.categories.slice(0, 6).forEach((name, k) => {
      c.fillStyle = css(palette(k));
      c.fillRect(x, 19, 10, 10);
      c.fillStyle = theme.faint;
      c.fillText(name.slice(0, 14), x + 14, 18);
      x += 22 + c.measureText(name.slice(0, 14)).width;
    });
    return;
  }
  const [low, high] = spec.limits;
  const value = (part) =>
    spec.log ? low * (high / low) ** part : low + part * (high - low);
  for (let x = 0; x < w - 8; x++) {
    c.fillStyle = css(palette(value(x / (w - 9))));
    c.fillRect(4 + x, 14, 1.5, 7);
  }
  c.fillStyle = theme.ink;
  c.fillText(spec.label, 4, 0, w - 8);
  c.fillStyle = theme.faint;
  const marks = spec.log ? [low, Math.sqrt(low * high), high] : [low, ...ticks(low, high, 3), high];
  let free = -Infinity;
  marks.forEach((mark, k) => {
    const part = spec.log ? Math.log(mark / low) / Math.log(high / low) : (mark - low) / (high - low);
    const text = short(mark);
    const width = c.measureText(text).width;
    const x = Math.min(Math.max(4 + part * (w - 8) - width / 2, 4), w - 4 - width);
    if (x < free || (k < marks.length - 1 && k > 0 && x + width > w - 40)) return;
    c.fillText(text, x, 23);
    free = x + width + 6;
  });
}

function css(colour) {
  return `#${colour.toString(16).padStart(6, "0")}`;
}

function choice(name, options, changed) {
  const select = make("select", { "aria-label": name });
  select.append(...options.map(([value, text]) => new Option(text, value)));
  select.addEventListener("change", () => changed(select.value));
  return select;
}

function icon(path) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 14 14");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(space, "path");
  shape.setAttribute("d", path);
  shape.setAttribute("fill", "currentColor");
  svg.append(shape);
  return svg;
}
