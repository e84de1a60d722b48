// Mouse, pen and fingers on the two views: orbit, pan, zoom, click, lasso, pick.

import { lassoHeads, nearestHead, short } from "./core.mjs";

const REACH = 9; // pixels from a point that still hit it

export function listen(app) {
  const { stage, stageBox } = app;
  const down = new Map();
  let drag = null;

  const where = (event) => {
    const box = stageBox.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  const hit = (x, y) => {
    const name = stage.paneAt(x, y);
    if (!name || !stage.parts?.[name]) return null;
    const now = stage.heads(name, app.state.frame);
    const k = nearestHead(now, stage.matrix(name), stage.panes()[name], x, y, REACH);
    return k < 0 ? null : now.track[k];
  };

  const onDown = (event) => {
    if (!app.meta) return;
    app.root.focus({ preventScroll: true });
    stageBox.setPointerCapture(event.pointerId);
    const [x, y] = where(event);
    down.set(event.pointerId, [x, y]);
    const pane = stage.paneAt(x, y);
    app.lastPane = pane ?? app.lastPane;
    const { tool } = app.state;
    const pans = event.button > 0 || event.ctrlKey || event.metaKey;
    let kind = pans ? "pan" : "move";
    if (!pans && (tool === "lasso" || event.shiftKey)) kind = "lasso";
    drag = { pane, kind, x, y, lastX: x, lastY: y, far: 0, shift: event.shiftKey };
    if (kind === "lasso") app.state.lasso = [[x, y]];
    app.state.hover = null;
  };

  const onMove = (event) => {
    if (!app.meta) return;
    const [x, y] = where(event);
    if (down.size === 2 && down.has(event.pointerId)) {
      pinch(event.pointerId, x, y);
      return;
    }
    if (!drag) {
      hover(x, y);
      return;
    }
    const [dx, dy] = [x - drag.lastX, y - drag.lastY];
    Object.assign(drag, { lastX: x, lastY: y });
    drag.far = Math.max(drag.far, Math.hypot(x - drag.x, y - drag.y));
    down.set(event.pointerId, [x, y]);
    if (drag.kind === "lasso") app.state.lasso.push([x, y]);
    else if (drag.far < 4) return;
    else if (drag.kind === "pan" || drag.pane === "frame") stage.pan(drag.pane, dx, dy);
    else stage.orbit(dx, dy);
    app.redraw();
  };

  const onUp = (event) => {
    down.delete(event.pointerId);
    if (!drag) return;
    const done = drag;
    drag = null;
    const lasso = app.state.lasso;
    app.state.lasso = null;
    if (event.type === "pointercancel") return app.redraw();
    if (done.kind === "lasso" && done.far >= 4) {
      const part = stage.parts[done.pane];
      const rows = part
        ? lassoHeads(
            stage.heads(done.pane, app.state.frame), stage.matrix(done.pane),
            stage.panes()[done.pane], lasso,
          )
        : [];
      select(rows, done.shift && app.state.tool === "lasso");
    } else if (done.far < 4 && done.kind !== "pan") {
      click(done);
    }
    return app.redraw();
  };

  const click = ({ pane, x, y, shift }) => {
    if (app.state.tool === "pick" && pane === "frame") {
      pick(x, y);
      return;
    }
    const row = hit(x, y);
    if (row === null) {
      if (!shift) app.act("selection", []);
      return;
    }
    const had = app.state.selection;
    if (!shift) app.act("selection", [row]);
    else app.act("selection", had.includes(row) ? had.filter((r) => r !== row) : [...had, row]);
  };

  const select = (rows, add) => {
    const all = add ? [...new Set([...app.state.selection, ...rows])] : rows;
    app.act("selection", all.sort((a, b) => a - b));
  };

  /** Add a query point, or take back one that is clicked again. */
  const pick = (x, y) => {
    const [u, v] = stage.inFrame(x, y);
    const [width, height] = app.meta.frameSize;
    if (u < -0.5 || v < -0.5 || u > width - 0.5 || v > height - 0.5) return;
    const time = app.meta.times[app.state.frame];
    const reach = REACH / stage.views.frame.zoom;
    const kept = app.state.picks.filter(
      (p) => p[0] !== time || Math.hypot(p[1] - u, p[2] - v) > reach,
    );
    const added = kept.length < app.state.picks.length ? [] : [[time, u, v]];
    app.act("picks", [...kept, ...added]);
  };

  const hover = (x, y) => {
    const row = hit(x, y);
    const before = app.state.hover?.row ?? null;
    if (row === null && before === null) return;
    app.state.hover = row === null ? null : { row, x, y, text: about(app, row) };
    app.redraw();
  };

  const pinch = (id, x, y) => {
    const [other] = [...down.entries()].filter(([key]) => key !== id).map(([, p]) => p);
    const old = down.get(id);
    const before = Math.hypot(old[0] - other[0], old[1] - other[1]);
    const after = Math.hypot(x - other[0], y - other[1]);
    down.set(id, [x, y]);
    const pane = app.lastPane;
    if (before > 0 && pane) stage.zoom(pane, after / before, (x + other[0]) / 2, (y + other[1]) / 2);
    if (pane) stage.pan(pane, (x - old[0]) / 2, (y - old[1]) / 2);
    drag = null;
    app.state.lasso = null;
    app.redraw();
  };

  const onWheel = (event) => {
    // A page that is only being scrolled past must not stop at the views.
    if (!app.meta || !(app.root.contains(document.activeElement) || deepFocus(app.root) || event.ctrlKey)) {
      return;
    }
    event.preventDefault();
    const [x, y] = where(event);
    const pane = stage.paneAt(x, y);
    if (pane) stage.zoom(pane, Math.exp(-Math.max(-80, Math.min(80, event.deltaY)) * 0.003), x, y);
    app.lastPane = pane ?? app.lastPane;
    app.redraw();
  };

  const onLeave = () => {
    app.state.hover = null;
    app.redraw();
  };
  const onReset = () => app.act("reset");
  const onMenu = (event) => event.preventDefault(); // the right button pans
  const all = {
    pointerdown: onDown, pointermove: onMove, pointerup: onUp, pointercancel: onUp,
    pointerleave: onLeave, dblclick: onReset, contextmenu: onMenu,
  };
  for (const [name, handler] of Object.entries(all)) stageBox.addEventListener(name, handler);
  stageBox.addEventListener("wheel", onWheel, { passive: false });
  return () => {
    for (const [name, handler] of Object.entries(all)) stageBox.removeEventListener(name, handler);
    stageBox.removeEventListener("wheel", onWheel);
  };
}

/** Whether the focus lies inside, also within a shadow tree. */
function deepFocus(root) {
  return Boolean(root.getRootNode().activeElement && root.contains(root.getRootNode().activeElement));
}

/** One line about a track in this frame. */
function about(app, row) {
  const { meta, state, spec } = app;
  const length = meta.shape[1];
  const at = row * length + state.frame;
  const value = app.values[app.step === 1 ? row : at];
  let text = `track ${meta.ids[row]}`;
  if (spec.name !== "track" && spec.label) {
    const told = spec.kind === "category" ? (spec.categories[value] ?? "–") : short(value);
    text += ` · ${spec.name ?? spec.label} ${told}`;
  }
  const sigma = app.buffers.sigma[at];
  if (Number.isFinite(sigma)) text += ` · ± ${short(100 * sigma)} %`;
  if (!app.buffers.seen[at]) text += " · hidden";
  return text;
}
