// What the explorer computes, without a browser: lines, heads, cameras, colours.
// Arrays are (track, time, ...), flat, row-major.

/** View bytes (a DataView, Uint8Array or ArrayBuffer) as little-endian float32. */
export function floats(bytes) {
  const view = bytesOf(bytes);
  if (view.byteOffset % 4 === 0) {
    return new Float32Array(view.buffer, view.byteOffset, view.byteLength >> 2);
  }
  return new Float32Array(view.slice().buffer);
}

/** View bytes of any kind as uint8. */
export function bytesOf(bytes) {
  if (!bytes) return new Uint8Array(0);
  if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Decode base64. */
export function fromBase64(text) {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

/** Spread uint16 steps over a range; 65535 is NaN. */
export function fromSteps(bytes, low, high) {
  const view = bytesOf(bytes);
  const steps = new Uint16Array(view.slice().buffer);
  const out = new Float32Array(steps.length);
  const step = (high - low) / 65534;
  for (let i = 0; i < steps.length; i++) {
    out[i] = steps[i] === 65535 ? NaN : low + steps[i] * step;
  }
  return out;
}

/** Flags (track, time): seen, at a finite place. */
export function seenThere(points, dim, seen) {
  const out = new Uint8Array(seen.length);
  for (let k = 0; k < seen.length; k++) {
    let good = seen[k];
    for (let d = 0; good && d < dim; d++) good = Number.isFinite(points[k * dim + d]);
    out[k] = good ? 1 : 0;
  }
  return out;
}

/**
 * Connect each observation with the one before it, in order of time, so that what ends
 * at frame t is offsets[t] .. offsets[t + 1]. A bridge crosses frames in which the point
 * was not seen.
 */
export function segments(points, dim, seen, n, length) {
  const offsets = new Int32Array(length + 1);
  const last = new Int32Array(n).fill(-1);
  for (let t = 0; t < length; t++) {
    let count = 0;
    for (let i = 0; i < n; i++) {
      if (!seen[i * length + t]) continue;
      if (last[i] >= 0) count++;
      last[i] = t;
    }
    offsets[t + 1] = offsets[t] + count;
  }
  const total = offsets[length];
  const ends = new Float32Array(total * 2 * dim);
  const track = new Int32Array(total);
  const end = new Float32Array(total);
  const span = new Float32Array(total);
  const bridge = new Uint8Array(total);
  last.fill(-1);
  let k = 0;
  for (let t = 0; t < length; t++) {
    for (let i = 0; i < n; i++) {
      const here = i * length + t;
      if (!seen[here]) continue;
      if (last[i] >= 0) {
        const before = i * length + last[i];
        for (let d = 0; d < dim; d++) {
          ends[2 * k * dim + d] = points[before * dim + d];
          ends[(2 * k + 1) * dim + d] = points[here * dim + d];
        }
        track[k] = i;
        end[k] = t;
        span[k] = t - last[i];
        bridge[k] = t - last[i] > 1 ? 1 : 0;
        k++;
      }
      last[i] = t;
    }
  }
  return { dim, count: total, ends, track, end, span, bridge, offsets };
}

/** Frames that one line may span where it is straight. */
export const BLOCK = 4;

/**
 * The same lines with fewer pieces: where a point was seen all through a block of frames
 * and moved straight on (all places within the tolerance of the line), one piece stands
 * for several. What ends in frames 4 b + 1 .. 4 b + 4 is offsets[b] .. offsets[b + 1];
 * gaps stay as they are.
 */
export function straightened(points, dim, seen, n, length, tolerance) {
  const blocks = Math.floor((length - 1) / BLOCK);
  const offsets = new Int32Array(blocks + 1);
  const last = new Int32Array(n).fill(-1);
  const ends = [];
  const track = [];
  const end = [];
  const span = [];
  const bridge = [];
  const piece = (i, a, b, gap) => {
    for (const t of [a, b]) {
      for (let d = 0; d < dim; d++) ends.push(points[(i * length + t) * dim + d]);
    }
    track.push(i);
    end.push(b);
    span.push(b - a);
    bridge.push(gap);
  };
  const solid = (i, a, b) => {
    if (b - a === 1 || isStraight(points, dim, i * length, a, b, tolerance)) {
      piece(i, a, b, 0);
      return;
    }
    const middle = (a + b) >> 1;
    solid(i, a, middle);
    solid(i, middle, b);
  };
  for (let i = 0; i < n; i++) if (length && seen[i * length]) last[i] = 0;
  for (let block = 0; block < blocks; block++) {
    const first = block * BLOCK;
    for (let i = 0; i < n; i++) {
      let whole = 1;
      for (let t = first; t <= first + BLOCK; t++) whole &= seen[i * length + t];
      if (whole) {
        solid(i, first, first + BLOCK);
        last[i] = first + BLOCK;
        continue;
      }
      for (let t = first + 1; t <= first + BLOCK; t++) {
        if (!seen[i * length + t]) continue;
        if (last[i] >= 0) piece(i, last[i], t, t - last[i] > 1 ? 1 : 0);
        last[i] = t;
      }
    }
    offsets[block + 1] = track.length;
  }
  return {
    dim, count: track.length, ends: Float32Array.from(ends), track: Int32Array.from(track),
    end: Float32Array.from(end), span: Float32Array.from(span), bridge: Uint8Array.from(bridge), offsets,
  };
}

function isStraight(points, dim, row, a, b, tolerance) {
  const at = (t, d) => points[(row + t) * dim + d];
  let square = 0;
  for (let d = 0; d < dim; d++) square += (at(b, d) - at(a, d)) ** 2;
  for (let t = a + 1; t < b; t++) {
    let along = 0;
    let whole = 0;
    for (let d = 0; d < dim; d++) {
      const step = at(t, d) - at(a, d);
      along += step * (at(b, d) - at(a, d));
      whole += step * step;
    }
    const part = square > 0 ? Math.min(1, Math.max(0, along / square)) : 0;
    if (whole - 2 * part * along + part * part * square > tolerance * tolerance) return false;
  }
  return true;
}

/**
 * Which pieces to draw at a frame with a tail: ranges [coarse?, from, to] of the fine and
 * the straightened set, in order of time.
 */
export function ranges(fine, coarse, frame, tail) {
  const from = Math.max(1, frame - tail + 1);
  const begin = Math.ceil((from - 1) / BLOCK);
  const stop = coarse ? Math.floor(frame / BLOCK) : 0;
  const piece = (a, b) => [false, fine.offsets[a], fine.offsets[b + 1]];
  if (tail <= 1 || frame < 1) return [];
  if (begin >= stop) return [piece(from, frame)];
  return [
    piece(from, begin * BLOCK),
    [true, coarse.offsets[begin], coarse.offsets[stop]],
    piece(stop * BLOCK + 1, frame),
  ].filter(([, a, b]) => b > a);
}

/** For each (track, time) the frame at or before it in which the point was last seen. */
export function lastSeen(seen, n, length) {
  const out = new Int32Array(n * length);
  const final = new Int32Array(n).fill(-1);
  for (let i = 0; i < n; i++) {
    for (let t = 0; t < length; t++) {
      if (seen[i * length + t]) final[i] = t;
      out[i * length + t] = final[i];
    }
  }
  return { at: out, final };
}

/**
 * Where tracks stand at frame t: seen now (hollow 0), or hidden now, seen before and seen
 * again (hollow 1), then at the place where it was last seen.
 */
export function heads(points, dim, last, n, length, t) {
  const track = [];
  const hollow = [];
  const place = [];
  for (let i = 0; i < n; i++) {
    const at = last.at[i * length + t];
    if (at < 0 || (at < t && last.final[i] < t)) continue;
    track.push(i);
    hollow.push(at < t ? 1 : 0);
    for (let d = 0; d < 3; d++) place.push(d < dim ? points[(i * length + at) * dim + d] : 0);
  }
  return {
    count: track.length,
    track: Int32Array.from(track),
    hollow: Uint8Array.from(hollow),
    place: Float32Array.from(place),
  };
}

/** Corners of the space to draw, without the few points that fly away. */
export function boxOf(points, seen) {
  const some = [[], [], []];
  const step = Math.max(1, Math.floor(seen.length / 30000));
  for (let k = 0; k < seen.length; k += step) {
    if (seen[k]) for (let d = 0; d < 3; d++) some[d].push(points[3 * k + d]);
  }
  if (!some[0].length) return { lower: [-1, -1, 0], upper: [1, 1, 2] };
  const lower = [];
  const upper = [];
  for (const values of some) {
    values.sort((a, b) => a - b);
    lower.push(values[Math.floor(0.005 * (values.length - 1))]);
    upper.push(values[Math.ceil(0.995 * (values.length - 1))]);
  }
  const widest = Math.max(...upper.map((u, d) => u - lower[d]), 1e-6);
  // A flat scene would otherwise be drawn as a sheet without thickness.
  const least = [0.3, 0.3, 0.4];
  for (let d = 0; d < 3; d++) {
    const span = upper[d] - lower[d];
    const margin = Math.max(0.04 * span, (least[d] * widest - span) / 2);
    lower[d] -= margin;
    upper[d] += margin;
  }
  return { lower, upper };
}

/** Unit vectors of a view: right, down, forward (x right, y down, z forward). */
export function viewAxes(yaw, pitch) {
  const forward = [
    -Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch),
  ];
  const right = [Math.cos(yaw), 0, Math.sin(yaw)];
  const down = [
    forward[1] * right[2] - forward[2] * right[1],
    forward[2] * right[0] - forward[0] * right[2],
    forward[0] * right[1] - forward[1] * right[0],
  ];
  return { right, down, forward };
}

/** Matrix from camera coordinates to clip space (y up), of an orbiting view. */
export function orbitMatrix(view, aspect) {
  const { right, down, forward } = viewAxes(view.yaw, view.pitch);
  const eye = view.target.map((v, d) => v - view.distance * forward[d]);
  const along = (axis) => -(axis[0] * eye[0] + axis[1] * eye[1] + axis[2] * eye[2]);
  const fy = 1 / Math.tan(view.fov / 2);
  const fx = fy / aspect;
  const near = view.distance / 200;
  const far = view.distance * 200;
  const a = (far + near) / (far - near);
  const b = (-2 * far * near) / (far - near);
  return new Float32Array([
    fx * right[0], -fy * down[0], a * forward[0], forward[0],
    fx * right[1], -fy * down[1], a * forward[1], forward[1],
    fx * right[2], -fy * down[2], a * forward[2], forward[2],
    fx * along(right), -fy * along(down), a * along(forward) + b, along(forward),
  ]);
}

/** Corners of a box. */
export function cornersOf(box) {
  return Array.from({ length: 8 }, (_, k) =>
    box.lower.map((low, d) => ((k >> d) & 1 ? box.upper[d] : low)),
  );
}

/** Move a view so that a box fills the middle of a pane, with room for its labels. */
export function fitView(view, box, pane) {
  const room = { x: pane.x, y: pane.y, w: pane.w, h: pane.h };
  const fitted = { ...view, target: box.lower.map((low, d) => (low + box.upper[d]) / 2) };
  const size = Math.hypot(...box.upper.map((u, d) => u - box.lower[d]));
  fitted.distance = 2 * size;
  const inner = { w: Math.max(40, pane.w - 116), h: Math.max(40, pane.h - 66) };
  for (let step = 0; step < 4; step++) {
    const matrix = orbitMatrix(fitted, pane.w / pane.h);
    const at = cornersOf(box).map((p) => projectPoint(matrix, p, room));
    if (at.some((p) => !p)) break;
    const [xs, ys] = [at.map((p) => p[0]), at.map((p) => p[1])];
    const [left, right] = [Math.min(...xs), Math.max(...xs)];
    const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
    const axes = viewAxes(fitted.yaw, fitted.pitch);
    const unit = (2 * fitted.distance * Math.tan(fitted.fov / 2)) / pane.h;
    const dx = (left + right) / 2 - pane.x - pane.w / 2;
    const dy = (top + bottom) / 2 - pane.y - pane.h / 2;
    fitted.target = fitted.target.map(
      (v, d) => v + unit * (dx * axes.right[d] + dy * axes.down[d]),
    );
    fitted.distance *= Math.max((right - left) / inner.w, (bottom - top) / inner.h);
  }
  return fitted;
}

/** Matrix from pixels of the frame to clip space, of a view { x, y, zoom } in a pane. */
export function frameMatrix(view, width, height) {
  const sx = (2 * view.zoom) / width;
  const sy = (-2 * view.zoom) / height;
  return new Float32Array([
    sx, 0, 0, 0, 0, sy, 0, 0, 0, 0, 0, 0, -view.x * sx, -view.y * sy, 0, 1,
  ]);
}

/** Project a point into a pane { x, y, w, h }; null behind the eye. */
export function projectPoint(m, p, pane) {
  const w = m[3] * p[0] + m[7] * p[1] + m[11] * p[2] + m[15];
  if (w <= 1e-6) return null;
  const x = (m[0] * p[0] + m[4] * p[1] + m[8] * p[2] + m[12]) / w;
  const y = (m[1] * p[0] + m[5] * p[1] + m[9] * p[2] + m[13]) / w;
  return [pane.x + (0.5 + x / 2) * pane.w, pane.y + (0.5 - y / 2) * pane.h, w];
}

/** Index of the head nearest to a place on the screen, -1 if none within the radius. */
export function nearestHead(now, matrix, pane, x, y, radius) {
  let best = -1;
  let least = radius * radius;
  for (let k = 0; k < now.count; k++) {
    const at = projectPoint(matrix, now.place.subarray(3 * k, 3 * k + 3), pane);
    if (!at) continue;
    const d = (at[0] - x) ** 2 + (at[1] - y) ** 2;
    if (d <= least) {
      least = d;
      best = k;
    }
  }
  return best;
}

/** Tracks whose heads lie inside a polygon [[x, y], ...] on the screen. */
export function lassoHeads(now, matrix, pane, polygon) {
  const out = [];
  for (let k = 0; k < now.count; k++) {
    const at = projectPoint(matrix, now.place.subarray(3 * k, 3 * k + 3), pane);
    if (at && insidePolygon(at[0], at[1], polygon)) out.push(now.track[k]);
  }
  return out;
}

/** Whether a place lies inside a polygon. */
export function insidePolygon(x, y, polygon) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/** Opacity that says how sure a depth is: sigma 3 % and less are full, 50 % is faint. */
export function fadeOf(sigma) {
  if (Number.isNaN(sigma)) return 1;
  const t = Math.log(Math.max(sigma, 1e-9) / 0.03) / Math.log(0.5 / 0.03);
  return 1 - 0.72 * Math.min(1, Math.max(0, t));
}

/** A function from a value to its colour, 0xrrggbb; grey where there is no value. */
export function paletteOf(spec, table, categories, dark) {
  const named = categories.map((h) => parseInt(h.slice(1), 16));
  const place = spec.log ? Math.log : (v) => v;
  const from = place(spec.limits[0]);
  const span = place(spec.limits[1]) - from || 1;
  // The end of a map that its background would swallow is left out.
  let [first, last] = dark ? [0.28, 1] : [0, 0.9];
  if (spec.map.endsWith("_r")) [first, last] = [1 - last, 1 - first];
  const none = dark ? 0x828282 : 0x969696;
  const rows = new Int32Array(256);
  for (let i = 0; i < 256; i++) {
    const row = 3 * Math.round(255 * first + i * (last - first));
    rows[i] = (table[row] << 16) | (table[row + 1] << 8) | table[row + 2];
  }
  return (value) => {
    if (!Number.isFinite(value)) return none;
    if (spec.kind === "category") return named[Math.round(value) % named.length];
    const part = (place(value) - from) / span;
    return rows[part > 0 ? Math.min(255, Math.round(255 * part)) : 0];
  };
}

/**
 * RGBA of each segment: colour of its later end, opacity of how sure it is. Values are
 * (track, time), or (track) with step 1 for each track.
 */
export function paintSegments(set, values, step, length, palette, sigma) {
  const out = new Uint8Array(set.count * 4);
  for (let k = 0; k < set.count; k++) {
    const at = set.track[k] * length + set.end[k];
    const colour = palette(values[step === 1 ? set.track[k] : at]);
    out[4 * k] = colour >> 16;
    out[4 * k + 1] = (colour >> 8) & 255;
    out[4 * k + 2] = colour & 255;
    out[4 * k + 3] = sigma ? Math.round(255 * fadeOf(sigma[at])) : 255;
  }
  return out;
}

/** Round numbers inside a range. */
export function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0) || !Number.isFinite(rough)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough * 0.999);
  const out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
    out.push(k * step);
  }
  return out;
}

/** A number as short as it can be read. */
export function short(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}
