// Depth over time of the selected tracks, with error bands; a click moves the time.

import { short, ticks } from "./core.mjs";

const MOST_LINES = 60;
const MOST_BANDS = 12;
const MARGIN = { left: 56, right: 70, top: 22, bottom: 24 };

/** The frame (position) at a place in the plot. */
export function frameAt(x, width, length) {
  const part = (x - MARGIN.left) / Math.max(1, width - MARGIN.left - MARGIN.right);
  return Math.min(length - 1, Math.max(0, Math.round(part * (length - 1))));
}

export function drawPlot(c, width, height, data, theme) {
  c.clearRect(0, 0, width, height);
  c.font = theme.small;
  const { length, times, selected, depth, sigma, seen, label } = data;
  if (!depth || !selected.length) {
    c.fillStyle = theme.faint;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.fillText(
      depth
        ? "Click a point, or draw a lasso, to see its depth over time here"
        : "These tracks have no depth yet: ds.seurat.lift3d()",
      width / 2, height / 2,
    );
    return;
  }
  const step = Math.ceil(selected.length / MOST_LINES);
  const shown = selected.filter((_, k) => k % step === 0);
  const bands = sigma && shown.length <= MOST_BANDS;
  const [low, high] = limits(shown, length, depth, bands ? sigma : null, seen);
  const x = (t) =>
    MARGIN.left + (t / Math.max(1, length - 1)) * (width - MARGIN.left - MARGIN.right);
  const y = (v) =>
    height - MARGIN.bottom - ((v - low) / (high - low)) * (height - MARGIN.top - MARGIN.bottom);
  axes(c, { low, high, x, y, width, height, times, length }, theme);

  c.save();
  c.beginPath();
  c.rect(MARGIN.left, MARGIN.top, width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom);
  c.clip();
  shown.forEach((track, k) => {
    const colour = theme.lines[k % theme.lines.length];
    if (bands) band(c, track, length, depth, sigma, x, y, colour);
    curve(c, track, length, depth, seen, x, y, colour);
  });
  c.restore();

  c.strokeStyle = theme.ink;
  c.lineWidth = 1;
  c.beginPath();
  c.moveTo(x(data.now), MARGIN.top);
  c.lineTo(x(data.now), height - MARGIN.bottom);
  c.stroke();
  c.fillStyle = theme.ink;
  c.textAlign = "left";
  c.textBaseline = "top";
  const some = step > 1 ? `, ${shown.length} of ${selected.length} selected` : "";
  const bar = bands ? " ± 1 sigma" : "";
  c.fillText(`${label}${bar}${some}  ·  dotted: hidden`, MARGIN.left, 4);
  names(c, shown, data, x, y, width, height, theme);
}

function limits(shown, length, depth, sigma, seen) {
  const all = [];
  const ends = [];
  for (const i of shown) {
    for (let t = 0; t < length; t++) {
      const k = i * length + t;
      if (!Number.isFinite(depth[k])) continue;
      (seen[k] ? all : ends).push(depth[k]);
      if (seen[k] && sigma && Number.isFinite(sigma[k])) {
        const factor = Math.exp(Math.min(sigma[k], 0.7));
        all.push(depth[k] / factor, depth[k] * factor);
      }
    }
  }
  const values = all.length ? all : ends;
  if (!values.length) return [0, 1];
  values.sort((a, b) => a - b);
  let low = values[Math.floor(0.01 * (values.length - 1))];
  let high = values[Math.ceil(0.99 * (values.length - 1))];
  // A depth that stands still must not make a show of its noise.
  const least = 0.05 * Math.abs(high + low);
  if (high - low < least) [low, high] = [(low + high - least) / 2, (low + high + least) / 2];
  const margin = 0.06 * (high - low) || 0.5;
  return [low - margin, high + margin];
}

function axes(c, { low, high, x, y, width, height, times, length }, theme) {
  c.fillStyle = theme.faint;
  c.strokeStyle = theme.grid;
  c.lineWidth = 1;
  c.textAlign = "right";
  c.textBaseline = "middle";
  c.beginPath();
  for (const v of ticks(low, high, Math.max(2, height / 40))) {
    c.moveTo(MARGIN.left, y(v));
    c.lineTo(width - MARGIN.right, y(v));
    c.fillText(short(v), MARGIN.left - 6, y(v));
  }
  c.stroke();
  c.textAlign = "center";
  c.textBaseline = "top";
  const count = Math.max(2, Math.floor(width / 110));
  for (const mark of ticks(times[0], times[length - 1], count)) {
    const t = times.findIndex((time) => time >= mark);
    if (times[t] === mark) c.fillText(String(mark), x(t), height - MARGIN.bottom + 6);
  }
  if (length === 1) c.fillText(String(times[0]), x(0), height - MARGIN.bottom + 6);
  c.textAlign = "right";
  c.fillText("frame", width - 6, height - MARGIN.bottom + 6);
}

function band(c, track, length, depth, sigma, x, y, colour) {
  c.globalAlpha = 0.18;
  c.fillStyle = colour;
  let start = -1;
  for (let t = 0; t <= length; t++) {
    const k = track * length + t;
    const good = t < length && Number.isFinite(depth[k]) && Number.isFinite(sigma[k]);
    if (good && start < 0) start = t;
    if (good || start < 0) continue;
    c.beginPath();
    for (let s = start; s < t; s++) {
      const j = track * length + s;
      c.lineTo(x(s), y(depth[j] * Math.exp(sigma[j])));
    }
    for (let s = t - 1; s >= start; s--) {
      const j = track * length + s;
      c.lineTo(x(s), y(depth[j] * Math.exp(-sigma[j])));
    }
    c.fill();
    start = -1;
  }
  c.globalAlpha = 1;
}

function curve(c, track, length, depth, seen, x, y, colour) {
  c.strokeStyle = colour;
  for (const hidden of [true, false]) {
    c.lineWidth = hidden ? 1 : 1.8;
    c.setLineDash(hidden ? [2, 3] : []);
    c.beginPath();
    for (let t = 1; t < length; t++) {
      const k = track * length + t;
      if (hidden === Boolean(seen[k] && seen[k - 1])) continue;
      if (!Number.isFinite(depth[k]) || !Number.isFinite(depth[k - 1])) continue;
      c.moveTo(x(t - 1), y(depth[k - 1]));
      c.lineTo(x(t), y(depth[k]));
    }
    c.stroke();
  }
  c.setLineDash([]);
  if (length === 1 && Number.isFinite(depth[track])) {
    c.fillStyle = colour;
    c.fillRect(x(0) - 2, y(depth[track]) - 2, 4, 4);
  }
}

/** Ids beside the ends of the lines, where they do not cover one another. */
function names(c, shown, data, x, y, width, height, theme) {
  c.textAlign = "left";
  c.textBaseline = "middle";
  const taken = [];
  shown.forEach((track, k) => {
    let t = data.length - 1;
    while (t > 0 && !Number.isFinite(data.depth[track * data.length + t])) t--;
    const at = Math.min(height - MARGIN.bottom, Math.max(MARGIN.top, y(data.depth[track * data.length + t])));
    if (!Number.isFinite(at) || taken.some((other) => Math.abs(other - at) < 11)) return;
    taken.push(at);
    c.fillStyle = theme.lines[k % theme.lines.length];
    const id = data.ids[track];
    c.fillText(id.length > 10 ? `${id.slice(0, 9)}…` : id, width - MARGIN.right + 6, at);
  });
}
