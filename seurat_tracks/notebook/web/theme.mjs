// Colours of the notebook's theme, light or dark, for what is drawn on canvases.

/** Read the theme that the element's style sheet has settled on. */
export function readTheme(element, categories) {
  const style = getComputedStyle(element);
  const back = rgbOf(style.backgroundColor);
  const ink = rgbOf(style.color);
  const dark = 0.299 * back[0] + 0.587 * back[1] + 0.114 * back[2] < 128;
  const mix = (part) =>
    `rgb(${back.map((b, k) => Math.round(b + part * (ink[k] - b))).join(" ")})`;
  const family = style.fontFamily || "sans-serif";
  return {
    dark,
    back: mix(0),
    ink: mix(1),
    faint: mix(0.68),
    grid: mix(dark ? 0.2 : 0.16),
    panel: mix(0.05),
    label: `rgb(${back.join(" ")} / 0.88)`,
    under: dark ? "rgb(0 0 0 / 0.7)" : "rgb(255 255 255 / 0.8)",
    mark: [...ink.map((v) => v / 255), 0.9],
    rim: [...back.map((b) => b / 255), 0.7],
    pick: dark ? "#f0e442" : "#d55e00",
    accent: dark ? "#56b4e9" : "#0072b2",
    lines: dark ? categories.slice(0, 5) : ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#222222"],
    font: `13px ${family}`,
    small: `11px ${family}`,
  };
}

/** Call back when the theme of the page changes; returns a function that stops it. */
export function watchTheme(changed) {
  const observer = new MutationObserver(changed);
  const names = ["class", "style", "data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind"];
  for (const element of [document.documentElement, document.body]) {
    observer.observe(element, { attributes: true, attributeFilter: names });
  }
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", changed);
  };
}

/** Any CSS colour as red, green, blue. */
function rgbOf(text) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const c = canvas.getContext("2d", { willReadFrequently: true });
  c.fillStyle = "#fff";
  c.fillRect(0, 0, 1, 1);
  c.fillStyle = text;
  c.fillRect(0, 0, 1, 1);
  return [...c.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}
