// The box around the 3D view: grids on its far sides, ticks, names of the axes, and the
// camera where the picture was taken.

import { projectPoint, short, ticks } from "./core.mjs";

const NAMES = ["right", "up", "depth"];

export function drawBox(c, scene, matrix, eye, pane, theme) {
  const { lower, upper } = scene.box;
  const marks = lower.map((low, d) => ticks(low, upper[d], d === 2 ? 5 : 4));
  const far = lower.map((low, d) => (eye[d] < (low + upper[d]) / 2 ? upper[d] : low));
  const line = (a, b) => {
    const p = projectPoint(matrix, a, pane);
    const q = projectPoint(matrix, b, pane);
    if (!p || !q) return;
    c.moveTo(p[0], p[1]);
    c.lineTo(q[0], q[1]);
  };
  c.lineWidth = 1;
  c.strokeStyle = theme.grid;
  c.beginPath();
  for (let d = 0; d < 3; d++) {
    const [u, v] = [(d + 1) % 3, (d + 2) % 3];
    // The side where axis d ends far away, ruled along the other two.
    for (const [across, along] of [[u, v], [v, u]]) {
      for (const mark of [lower[across], ...marks[across], upper[across]]) {
        const a = [0, 0, 0];
        a[d] = far[d];
        a[across] = mark;
        const b = [...a];
        a[along] = lower[along];
        b[along] = upper[along];
        line(a, b);
      }
    }
  }
  c.stroke();
  for (let d = 0; d < 3; d++) labelAxis(c, d, marks[d], scene, matrix, far, pane, theme);
  if (scene.camera) drawCamera(c, scene, line, matrix, pane, theme);
}

/** Write an axis along the edge of the far sides that is lowest (or leftmost, for up). */
function labelAxis(c, d, marks, scene, matrix, far, pane, theme) {
  const { lower, upper } = scene.box;
  const [u, v] = [(d + 1) % 3, (d + 2) % 3];
  const near = lower.map((low, k) => (far[k] === low ? upper[k] : low));
  let best = null;
  for (const [atU, atV] of [[near[u], far[v]], [far[u], near[v]]]) {
    const a = [0, 0, 0];
    a[u] = atU;
    a[v] = atV;
    const b = [...a];
    a[d] = lower[d];
    b[d] = upper[d];
    const p = projectPoint(matrix, a, pane);
    const q = projectPoint(matrix, b, pane);
    if (!p || !q) return;
    const score = d === 1 ? -(p[0] + q[0]) : p[1] + q[1];
    if (!best || score > best.score) best = { a, p, q, score };
  }
  const middle = projectPoint(matrix, lower.map((low, k) => (low + upper[k]) / 2), pane);
  const centre = [(best.p[0] + best.q[0]) / 2, (best.p[1] + best.q[1]) / 2];
  const length = Math.hypot(best.q[0] - best.p[0], best.q[1] - best.p[1]);
  if (!middle || length < 40) return;
  let out = [-(best.q[1] - best.p[1]) / length, (best.q[0] - best.p[0]) / length];
  if (out[0] * (centre[0] - middle[0]) + out[1] * (centre[1] - middle[1]) < 0) {
    out = [-out[0], -out[1]];
  }
  c.fillStyle = theme.faint;
  c.textBaseline = "middle";
  c.textAlign = Math.abs(out[0]) < 0.35 ? "center" : out[0] < 0 ? "right" : "left";
  c.font = theme.small;
  const every = Math.max(1, Math.ceil((34 * marks.length) / length));
  for (let k = 0; k < marks.length; k += every) {
    const place = [...best.a];
    place[d] = marks[k];
    const at = projectPoint(matrix, place, pane);
    // y points down in the camera's frame and up in the picture
    const value = d === 1 ? -marks[k] : marks[k];
    if (at) c.fillText(short(value), at[0] + 9 * out[0], at[1] + 9 * out[1]);
  }
  const name = `${NAMES[d]} (${scene.unit === "m" ? "m" : "rel."})`;
  if (d === 1) {
    const top = best.p[1] < best.q[1] ? best.p : best.q;
    c.textAlign = "center";
    c.fillText(name, top[0], top[1] - 14);
  } else {
    c.fillText(name, centre[0] + 28 * out[0], centre[1] + 28 * out[1]);
  }
}

/** The camera: a pyramid at the origin of its own frame. */
function drawCamera(c, scene, line, matrix, pane, theme) {
  const [width, height] = scene.frameSize;
  const k = scene.intrinsics.length === 4
    ? scene.intrinsics
    : [width * 0.87, width * 0.87, width / 2, height / 2];
  const size = 0.12 * Math.max(...scene.box.upper.map((u, d) => u - scene.box.lower[d]));
  const corners = [[0, 0], [width, 0], [width, height], [0, height]].map(([x, y]) => [
    (size * (x - k[2])) / k[0], (size * (y - k[3])) / k[1], size,
  ]);
  const whole = [[0, 0, 0], ...corners].every((corner) => {
    const at = projectPoint(matrix, corner, pane);
    return at && at[0] > pane.x && at[0] < pane.x + pane.w && at[1] > pane.y && at[1] < pane.y + pane.h;
  });
  if (!whole) return; // half a pyramid at the edge puzzles more than it tells
  c.strokeStyle = theme.faint;
  c.beginPath();
  corners.forEach((corner, i) => {
    line([0, 0, 0], corner);
    line(corner, corners[(i + 1) % 4]);
  });
  c.stroke();
}
