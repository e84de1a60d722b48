// The explorer in a page of its own: all data lies in the page.

import { Explorer } from "./app.mjs";
import { bytesOf, floats, fromBase64, fromSteps } from "./core.mjs";

function startPage() {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const { meta, state, parts, colours, height } = read("seurat-meta");
  const data = (id) => fromBase64(document.getElementById(id)?.textContent.trim() ?? "");
  const numbers = (id) => {
    const part = parts[id];
    if (!part) return new Float32Array(0);
    return part.steps ? fromSteps(data(id), part.low, part.high) : floats(data(id));
  };
  const buffers = {};
  for (const name of ["xy", "xyz", "depth", "sigma"]) buffers[name] = numbers(`seurat-${name}`);
  buffers.seen = bytesOf(data("seurat-seen"));
  const app = new Explorer(
    document.getElementById("seurat-explorer"),
    {
      values: async (name) => ({ spec: colours[name].spec, values: numbers(colours[name].part) }),
      picture: async (index) => {
        const found = document.getElementById(`seurat-frame-${meta.picture[index]}`);
        return found ? fromBase64(found.textContent.trim()) : null;
      },
      changed: () => {},
    },
    { height },
  );
  app.load(meta, buffers, state);
  return app;
}

startPage();
