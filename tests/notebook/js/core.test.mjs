// Run by: node --test tests/notebook/js
import assert from "node:assert/strict";
import { test } from "node:test";

const core = await import(new URL("../../../seurat_tracks/notebook/web/core.mjs", import.meta.url));
const N = NaN;

// one track: seen, seen, hidden, seen, seen; another one seen in the last frame alone
const seen = Uint8Array.from([1, 1, 0, 1, 1, 0, 0, 0, 0, 1]);
const points = Float32Array.from([0, 0, 1, 0, N, N, 3, 0, 4, 0, N, N, N, N, N, N, N, N, 9, 9]);

test("a gap is one bridge, and everything is in order of time", () => {
  const set = core.segments(points, 2, seen, 2, 5);
  assert.deepEqual([...set.end], [1, 3, 4]);
  assert.deepEqual([...set.bridge], [0, 1, 0]);
  assert.deepEqual([...set.span], [1, 2, 1]);
  assert.deepEqual([...set.ends], [0, 0, 1, 0, 1, 0, 3, 0, 3, 0, 4, 0]);
  assert.deepEqual([...set.offsets], [0, 0, 1, 1, 2, 3]);
});

test("a guessed place while hidden is never drawn", () => {
  const guessed = points.map((v) => (Number.isNaN(v) ? 77 : v));
  const set = core.segments(guessed, 2, core.seenThere(guessed, 2, seen), 2, 5);
  assert.ok(Math.max(...set.ends) < 10);
});

test("places that are not finite count as hidden", () => {
  const there = core.seenThere(Float32Array.from([1, NaN, 2, Infinity, 3, 4]), 2, Uint8Array.from([1, 1, 1]));
  assert.deepEqual([...there], [0, 0, 1]);
});

test("hollow where last seen only if seen again", () => {
  const last = core.lastSeen(seen, 2, 5);
  const at = (t) => {
    const now = core.heads(points, 2, last, 2, 5, t);
    return [[...now.track], [...now.hollow], [...now.place]];
  };
  assert.deepEqual(at(2), [[0], [1], [1, 0, 0]]);
  assert.deepEqual(at(3), [[0], [0], [3, 0, 0]]);
  assert.deepEqual(at(4), [[0, 1], [0, 0], [4, 0, 0, 9, 9, 0]]);
});

test("a straight line is one piece, a bent one and a gap are not", () => {
  const length = 13;
  const rows = [0, 1, 2].map((i) =>
    Array.from({ length }, (_, t) => [t, i === 1 ? 3 * (t % 2) : 0]).flat(),
  );
  const all = Uint8Array.from({ length: 3 * length }, (_, k) => (k === 2 * length + 6 ? 0 : 1));
  const places = Float32Array.from(rows.flat());
  const coarse = core.straightened(places, 2, all, 3, length, 0.1);
  const of = (i) => [...coarse.end].filter((_, k) => coarse.track[k] === i);
  assert.deepEqual(of(0), [4, 8, 12]);
  assert.deepEqual(of(1), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assert.deepEqual(of(2), [4, 5, 7, 8, 12]);
  assert.deepEqual([...coarse.bridge].filter((_, k) => coarse.track[k] === 2), [0, 0, 1, 0, 0]);
});

test("fine and straightened pieces together cover the tail exactly", () => {
  const length = 30;
  const all = new Uint8Array(length).fill(1);
  const places = Float32Array.from({ length: 2 * length }, (_, k) => (k % 2 ? 0 : k / 2));
  const fine = core.segments(places, 2, all, 1, length);
  const coarse = core.straightened(places, 2, all, 1, length, 0.1);
  for (const tail of [1, 2, 3, 8, 11, 1e9]) {
    for (let frame = 0; frame < length; frame++) {
      let reach = 0;
      let end = -1;
      for (const [straight, a, b] of core.ranges(fine, coarse, frame, tail)) {
        const set = straight ? coarse : fine;
        for (let k = a; k < b; k++) {
          reach += set.span[k];
          assert.ok(set.end[k] > end);
          end = set.end[k];
        }
      }
      assert.equal(reach, tail <= 1 ? 0 : Math.min(frame, tail), `${frame} ${tail}`);
    }
  }
});

test("the orbit sees the target in the middle, right to the right, up above", () => {
  const view = { yaw: 0, pitch: 0, target: [1, 2, 5], distance: 4, fov: 0.7 };
  const pane = { x: 10, y: 20, w: 200, h: 100 };
  const m = core.orbitMatrix(view, 2);
  const at = (p) => core.projectPoint(m, p, pane);
  const close = (a, b) => a.forEach((v, k) => assert.ok(Math.abs(v - b[k]) < 1e-3, `${a} ${b}`));
  close(at([1, 2, 5]), [110, 70, 4]);
  assert.ok(at([2, 2, 5])[0] > 110 && at([1, 1, 5])[1] < 70);
  assert.equal(at([1, 2, 0]), null); // behind the eye
  assert.ok(at([1, 2, 9])[2] > at([1, 2, 5])[2]);
});

test("a fitted view holds the whole box", () => {
  const box = { lower: [-3, -1, 2], upper: [4, 1, 30] };
  const pane = { x: 0, y: 0, w: 500, h: 330 };
  const view = core.fitView({ yaw: -0.55, pitch: 0.32, fov: 0.6 }, box, pane);
  const m = core.orbitMatrix(view, pane.w / pane.h);
  for (const corner of core.cornersOf(box)) {
    const [x, y] = core.projectPoint(m, corner, pane);
    assert.ok(x > 0 && x < 500 && y > 0 && y < 330, `${x} ${y}`);
  }
});

test("frame pixels map to the pane and clicks find the nearest head", () => {
  const pane = { x: 0, y: 0, w: 100, h: 50 };
  const m = core.frameMatrix({ x: 10, y: 5, zoom: 2 }, 100, 50);
  const middle = core.projectPoint(m, [10, 5, 0], pane);
  assert.ok(Math.abs(middle[0] - 50) < 1e-4 && Math.abs(middle[1] - 25) < 1e-4);
  const [x, y] = core.projectPoint(m, [15, 6, 0], pane);
  assert.ok(Math.abs(x - 60) < 1e-4 && Math.abs(y - 27) < 1e-4);
  const now = { count: 2, track: [4, 7], place: Float32Array.from([10, 5, 0, 15, 6, 0]) };
  assert.equal(core.nearestHead(now, m, pane, 59, 27, 9), 1);
  assert.equal(core.nearestHead(now, m, pane, 80, 45, 9), -1);
  assert.deepEqual(core.lassoHeads(now, m, pane, [[55, 20], [70, 20], [70, 40], [55, 40]]), [7]);
});

test("colours: limits, logarithm, missing values, categories", () => {
  const table = Uint8Array.from({ length: 768 }, (_, k) => Math.floor(k / 3));
  const spec = { kind: "scale", limits: [1, 100], log: true, map: "viridis" };
  const dark = core.paletteOf(spec, table, [], true);
  const light = core.paletteOf(spec, table, [], false);
  assert.ok(dark(1) > 0 && light(1) === 0 && dark(100) === 0xffffff && light(100) < 0xffffff);
  const red = (v) => light(v) >> 16;
  assert.ok(Math.abs(2 * red(10) - red(100)) < 3); // halfway of two decades
  assert.equal(dark(NaN), 0x828282);
  assert.equal(dark(-5), dark(1)); // the logarithm of what is not positive
  assert.equal(dark(1e9), dark(100));
  const named = core.paletteOf({ ...spec, kind: "category" }, table, ["#010203", "#a0b0c0"], true);
  assert.equal(named(1), 0xa0b0c0);
  assert.equal(named(2), 0x010203);
});

test("uncertain is faint, unknown is not", () => {
  assert.equal(core.fadeOf(0.01), 1);
  assert.ok(core.fadeOf(0.1) < 1 && core.fadeOf(0.1) > core.fadeOf(0.4));
  assert.ok(core.fadeOf(99) > 0.2);
  assert.equal(core.fadeOf(NaN), 1);
});

test("bytes become numbers at any offset, steps too", () => {
  const raw = new Uint8Array(new Float32Array([1.5, -2]).buffer);
  const shifted = new Uint8Array(9);
  shifted.set(raw, 1);
  assert.deepEqual([...core.floats(new DataView(shifted.buffer, 1, 8))], [1.5, -2]);
  assert.deepEqual([...core.floats(core.fromBase64(Buffer.from(raw).toString("base64")))], [1.5, -2]);
  const steps = new Uint8Array(new Uint16Array([0, 65534, 65535]).buffer);
  assert.deepEqual([...core.fromSteps(steps, -1, 3)], [-1, 3, NaN]);
  assert.equal(core.floats(undefined).length, 0);
});

test("ticks are round and inside, numbers short", () => {
  assert.deepEqual(core.ticks(0.3, 4.2, 4), [1, 2, 3, 4]);
  assert.deepEqual(core.ticks(1, 1, 4), []);
  assert.deepEqual(core.ticks(0, NaN, 4), []);
  assert.equal(core.short(NaN), "–");
  assert.equal(core.short(1234.56), "1230");
});

test("a box of nothing, and of one place", () => {
  const none = core.boxOf(new Float32Array(0), new Uint8Array(0));
  assert.ok(none.upper.every((u, d) => u > none.lower[d]));
  const one = core.boxOf(Float32Array.from([1, 2, 3]), Uint8Array.from([1]));
  assert.ok(one.upper.every((u, d) => u > one.lower[d]));
});
