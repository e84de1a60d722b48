// Draws the same lines and dots on a 2D canvas, where WebGL is missing; slower.

import { projectPoint } from "./core.mjs";

export class FlatDrawer {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.sets = new Map();
  }

  upload(name, set) {
    this.sets.set(name, { set, rgba: new Uint8Array(4 * set.count), chosen: null });
  }

  colours(name, rgba) {
    this.sets.get(name).rgba = rgba;
  }

  flags(name, chosen) {
    this.sets.get(name).chosen = chosen;
  }

  begin(ratio) {
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  lines(name, from, to, look) {
    const { set, rgba, chosen } = this.sets.get(name);
    this.inside(look.pane, (c) => {
      for (const pass of look.chosen ? [0, 1] : [0]) {
        for (let k = from; k < to; k++) {
          const picked = chosen && chosen[set.track[k]] ? 1 : 0;
          if (picked !== pass) continue;
          const a = projectPoint(look.matrix, end(set, 2 * k), look.pane);
          const b = projectPoint(look.matrix, end(set, 2 * k + 1), look.pane);
          if (!a || !b) continue;
          const age = Math.min(1, (look.now - set.end[k]) / Math.max(look.tail, 1));
          const rest = picked ? 1 : look.rest;
          const fade = (1 - 0.75 * age) * (set.bridge[k] ? 0.75 : 1) * rest;
          c.lineWidth = look.width * (picked ? 1.5 : 1) * (set.bridge[k] ? 0.8 : 1);
          c.strokeStyle = ink(rgba, k, fade);
          c.setLineDash(set.bridge[k] ? [2.7, 3.3] : []);
          c.beginPath();
          c.moveTo(a[0], a[1]);
          c.lineTo(b[0], b[1]);
          c.stroke();
        }
      }
      c.setLineDash([]);
    });
  }

  dots(points, look) {
    this.inside(look.pane, (c) => {
      for (let k = 0; k < points.count; k++) {
        const at = projectPoint(look.matrix, points.place.subarray(4 * k, 4 * k + 3), look.pane);
        if (!at) continue;
        const kind = points.place[4 * k + 3];
        const [hollow, picked] = [kind % 2, kind > 1];
        const radius = look.radius * (picked ? 1.6 : 1);
        c.beginPath();
        c.arc(at[0], at[1], radius, 0, 2 * Math.PI);
        c.lineWidth = 1.2;
        if (hollow) {
          c.strokeStyle = ink(points.colour, k, 1);
        } else {
          c.fillStyle = ink(points.colour, k, 1);
          c.fill();
          c.strokeStyle = shade(look.rim);
        }
        c.stroke();
        for (const [grown, colour] of picked ? [[1.8, look.rim], [0.8, look.mark]] : []) {
          c.strokeStyle = shade(colour);
          c.beginPath();
          c.arc(at[0], at[1], radius + grown, 0, 2 * Math.PI);
          c.stroke();
        }
      }
    });
  }

  inside(pane, draw) {
    const c = this.context;
    c.save();
    c.beginPath();
    c.rect(pane.x, pane.y, pane.w, pane.h);
    c.clip();
    draw(c);
    c.restore();
  }

  close() {
    this.sets.clear();
  }
}

function end(set, k) {
  const at = k * set.dim;
  return [set.ends[at], set.ends[at + 1], set.dim > 2 ? set.ends[at + 2] : 0];
}

function shade([r, g, b, a]) {
  return `rgba(${255 * r},${255 * g},${255 * b},${a})`;
}

function ink(rgba, k, fade) {
  const [r, g, b, a] = rgba.subarray(4 * k, 4 * k + 4);
  return `rgba(${r},${g},${b},${(a / 255) * fade})`;
}
