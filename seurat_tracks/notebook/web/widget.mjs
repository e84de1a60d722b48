// The explorer as an anywidget: traits in, changes and questions out.

import { Explorer } from "./app.mjs";
import { bytesOf, floats } from "./core.mjs";

const ANSWER_WITHIN = 20000; // ms for a frame; it is asked for again when it is needed

function render({ model, el }) {
  const root = document.createElement("div");
  el.append(root);
  const waiting = new Map();
  const colours = new Map();
  // Several views of one explorer hear all answers: each knows its own.
  const own = Math.random().toString(36).slice(2);
  let serial = 0;
  let saving = 0;

  const ask = (question, within) =>
    new Promise((resolve, reject) => {
      const id = `${own}-${serial++}`;
      const timer = within && setTimeout(() => {
        waiting.delete(id);
        reject(new Error("The kernel does not answer; it may be busy."));
      }, within);
      waiting.set(id, { resolve, reject, timer });
      model.send({ ...question, id });
    });

  const answered = (message, buffers) => {
    const question = waiting.get(message.id);
    if (!question) return;
    waiting.delete(message.id);
    clearTimeout(question.timer);
    if (message.error) question.reject(new Error(message.error));
    else question.resolve({ message, buffers });
  };

  const save = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };

  const source = {
    async values(name) {
      const { depthSpec } = model.get("meta");
      if (name === "depth" && depthSpec) {
        colours.set(name, { spec: depthSpec, values: floats(model.get("depth")) });
      }
      if (!colours.has(name)) {
        const { message, buffers } = await ask({ ask: "values", name, version: model.get("meta").version });
        colours.set(name, { spec: message.spec, values: floats(buffers[0]) });
      }
      return colours.get(name);
    },
    async picture(index, width) {
      const time = model.get("meta").times[index];
      const { buffers } = await ask({ ask: "frame", time, width }, ANSWER_WITHIN);
      return buffers?.length ? bytesOf(buffers[0]) : null;
    },
    changed(name, value) {
      if (name === "frame" && app.state.playing) {
        // The kernel hears of it a few times a second. Until then the model is left
        // alone: the kernel's echo of an earlier frame would count as a change of a
        // later one, and take the explorer back.
        saving ||= setTimeout(() => {
          saving = 0;
          save("frame", model.get("meta").times[app.state.frame]);
        }, 300);
        return;
      }
      if (name === "frame") {
        clearTimeout(saving);
        saving = 0;
      }
      save(name, value);
    },
  };

  const app = new Explorer(root, source, {
    height: model.get("height"), forceFlat: model.get("renderer") === "canvas",
  });
  const stateOf = () => ({
    frame: Math.max(0, model.get("meta").times.indexOf(model.get("frame"))),
    colour: model.get("colour"),
    tail: model.get("tail"),
    fade: model.get("fade"),
    selection: [...model.get("selection")],
    picks: model.get("picks").map((p) => [...p]),
  });
  let loaded = null;
  const load = () => {
    loaded = model.get("meta");
    colours.clear();
    const buffers = Object.fromEntries(
      ["xy", "xyz", "depth", "sigma"].map((name) => [name, floats(model.get(name))]),
    );
    buffers.seen = bytesOf(model.get("seen"));
    app.load(loaded, buffers, stateOf());
  };
  const follow = (name) => () => {
    if (model.get("meta") !== loaded) return; // all of the state is read with new tracks
    const value = stateOf()[name];
    if (JSON.stringify(value) === JSON.stringify(app.state[name])) return;
    if (name === "frame") app.seek(value);
    else app.act(name, value);
  };

  model.on("msg:custom", answered);
  const handlers = { "change:meta": load, "change:message": () => app.say(model.get("message")) };
  for (const name of ["frame", "colour", "tail", "fade", "selection", "picks"]) {
    handlers[`change:${name}`] = follow(name);
  }
  for (const [name, handler] of Object.entries(handlers)) model.on(name, handler);
  load();
  app.say(model.get("message"));

  return () => {
    clearTimeout(saving);
    for (const { timer } of waiting.values()) clearTimeout(timer);
    model.off("msg:custom", answered);
    for (const [name, handler] of Object.entries(handlers)) model.off(name, handler);
    app.close();
  };
}

export default { render };
