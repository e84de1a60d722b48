// Draws lines and dots with WebGL 2, as two triangles each, so that lines have a width.
// What a vertex needs is fetched from textures by its number: software renderers take an
// instanced draw as one call for each instance, which is fifty times slower.

const ROW = 2048; // texels in a row of a texture

const COMMON = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform mat4 uMatrix;
uniform vec2 uSize;
// (0, 0) (1, 0) (0, 1) (1, 1)
vec2 corner() { return vec2(float(gl_VertexID & 1), float((gl_VertexID >> 1) & 1)); }
ivec2 texel(int k) { return ivec2(k % ${ROW}, k / ${ROW}); }
const vec4 NOWHERE = vec4(2.0, 2.0, 2.0, 1.0);
`;

const LINE_VERTEX = `${COMMON}
uniform sampler2D uFrom;    // place, frame in which it ends + frames it spans / 16
uniform sampler2D uTo;      // place, track + 1, negative for a bridge
uniform sampler2D uInk;
uniform sampler2D uChosen;  // by track
uniform vec4 uLook;   // width, now, tail, opacity of what is not selected
uniform float uPass;  // 0 all but the selected, 1 the selected
out vec4 vColour;
out vec3 vPlace;      // across, along, half width, in pixels
out float vBridge;
void main() {
  ivec2 at = texel(gl_VertexID >> 2);
  vec4 from = texelFetch(uFrom, at, 0);
  vec4 to = texelFetch(uTo, at, 0);
  int track = int(abs(to.w)) - 1;
  float chosen = texelFetch(uChosen, texel(track), 0).r > 0.5 ? 1.0 : 0.0;
  float bridge = to.w < 0.0 ? 1.0 : 0.0;
  vec4 a = uMatrix * vec4(from.xyz, 1.0);
  vec4 b = uMatrix * vec4(to.xyz, 1.0);
  if (a.w < 1e-6 || b.w < 1e-6 || chosen != uPass) {
    gl_Position = NOWHERE;
    return;
  }
  vec2 p = a.xy / a.w * uSize * 0.5;
  vec2 q = b.xy / b.w * uSize * 0.5;
  vec2 d = q - p;
  float len = length(d);
  vec2 dir = len > 1e-4 ? d / len : vec2(1.0, 0.0);
  vec2 c = corner();
  float side = c.x * 2.0 - 1.0;
  float width = uLook.x * (bridge > 0.5 ? 0.8 : 1.0) * (chosen > 0.5 ? 1.5 : 1.0);
  float reach = 0.5 * width + 0.6;
  vec2 place = mix(p, q, c.y) + dir * (c.y * 2.0 - 1.0) * 0.5
    + vec2(-dir.y, dir.x) * side * reach;
  gl_Position = vec4(place / (uSize * 0.5), 0.0, 1.0);
  vPlace = vec3(side * reach, c.y * len, 0.5 * width);
  vBridge = bridge;
  float when = floor(from.w) - (1.0 - c.y) * fract(from.w) * 16.0;
  float age = clamp((uLook.y - when) / max(uLook.z, 1.0), 0.0, 1.0);
  vec4 ink = texelFetch(uInk, at, 0);
  vColour = vec4(ink.rgb, ink.a * (1.0 - 0.75 * age)
    * (bridge > 0.5 ? 0.75 : 1.0) * (chosen > 0.5 ? 1.0 : uLook.w));
}`;

const LINE_FRAGMENT = `#version 300 es
precision highp float;
in vec4 vColour;
in vec3 vPlace;
in float vBridge;
uniform float uDots;
out vec4 colour;
void main() {
  if (vBridge > 0.5 && mod(vPlace.y, uDots) > 0.45 * uDots) discard;
  float edge = clamp(vPlace.z + 0.5 - abs(vPlace.x), 0.0, 1.0);
  float alpha = vColour.a * edge;
  colour = vec4(vColour.rgb * alpha, alpha);
}`;

const DOT_VERTEX = `${COMMON}
uniform sampler2D uPlace;   // place, hollow + 2 selected
uniform sampler2D uInk;
uniform float uRadius;
uniform vec4 uRim;    // sets dots apart from what they lie on
uniform vec4 uRing;   // rim of what is selected
out vec2 vPlace;
flat out vec4 vInk;   // colours times their opacity
flat out vec4 vEdge;
flat out vec4 vHalo;  // around the rim of what is selected, to stand out anywhere
flat out vec2 vRadii; // outer one; inner one, negative for filled dots
void main() {
  ivec2 at = texel(gl_VertexID >> 2);
  vec4 place = texelFetch(uPlace, at, 0);
  vec4 a = uMatrix * vec4(place.xyz, 1.0);
  if (a.w < 1e-6) {
    gl_Position = NOWHERE;
    return;
  }
  float chosen = place.w > 1.5 ? 1.0 : 0.0;
  float hollow = place.w - 2.0 * chosen;
  float radius = uRadius * (1.0 + 0.6 * chosen) * (1.0 + 0.15 * hollow);
  vRadii = vec2(radius + 0.5, hollow > 0.5 ? radius - 2.0 : -9.0);
  vec4 ink = texelFetch(uInk, at, 0);
  vInk = vec4(ink.rgb, 1.0) * ink.a;
  vec4 rim = chosen > 0.5 ? uRing : uRim * vec4(1.0, 1.0, 1.0, hollow > 0.5 ? 0.0 : ink.a);
  vEdge = vec4(rim.rgb, 1.0) * rim.a;
  vHalo = vec4(uRim.rgb, 1.0) * chosen;
  vPlace = (corner() * 2.0 - 1.0) * (radius + 1.5 + chosen);
  gl_Position = vec4((a.xy / a.w * uSize * 0.5 + vPlace) / (uSize * 0.5), 0.0, 1.0);
}`;

const DOT_FRAGMENT = `#version 300 es
precision highp float;
in vec2 vPlace;
flat in vec4 vInk;
flat in vec4 vEdge;
flat in vec4 vHalo;
flat in vec2 vRadii;
out vec4 colour;
void main() {
  float r = length(vPlace);
  float disc = clamp(vRadii.x - r, 0.0, 1.0);
  float rim = clamp(vRadii.x + 1.0 - r, 0.0, 1.0);
  float halo = clamp(vRadii.x + 2.0 - r, 0.0, 1.0);
  colour = vInk * disc * clamp(r - vRadii.y, 0.0, 1.0) + vEdge * (rim - disc)
    + vHalo * (halo - rim);
}`;

/** Draws into a canvas that it shares with nothing else; throws without WebGL 2. */
export class GLDrawer {
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, depth: false, stencil: false });
    if (!gl) throw new Error("WebGL 2 is not available");
    this.gl = gl;
    this.canvas = canvas;
    this.sets = new Map();
    this.line = program(gl, LINE_VERTEX, LINE_FRAGMENT);
    this.dot = program(gl, DOT_VERTEX, DOT_FRAGMENT);
    this.dotTextures = {};
    gl.bindVertexArray(gl.createVertexArray());
    this.index = gl.createBuffer();
    this.room = 0;
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.disable(gl.DEPTH_TEST);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  }

  /** Keep a set of segments of n tracks on the card under a name. */
  upload(name, set, n) {
    const { gl } = this;
    for (const texture of this.sets.get(name)?.textures ?? []) gl.deleteTexture(texture);
    const from = new Float32Array(4 * set.count);
    const to = new Float32Array(4 * set.count);
    for (let k = 0; k < set.count; k++) {
      for (let d = 0; d < set.dim; d++) {
        from[4 * k + d] = set.ends[2 * k * set.dim + d];
        to[4 * k + d] = set.ends[(2 * k + 1) * set.dim + d];
      }
      from[4 * k + 3] = set.end[k] + Math.min(15, set.span[k]) / 16;
      to[4 * k + 3] = (set.track[k] + 1) * (set.bridge[k] ? -1 : 1);
    }
    const textures = [0, 1, 2, 3].map(() => gl.createTexture());
    store(gl, textures[0], from, gl.RGBA32F);
    store(gl, textures[1], to, gl.RGBA32F);
    store(gl, textures[2], new Uint8Array(4 * set.count), gl.RGBA8);
    this.sets.set(name, { set, textures, n });
    this.flags(name, null);
    this.corners(set.count);
  }

  /** Make room for the corners of so many quads: two triangles each, of four corners. */
  corners(count) {
    if (count <= this.room) return;
    const { gl } = this;
    const order = [0, 1, 2, 2, 1, 3];
    const index = new Uint32Array(6 * count);
    for (let k = 0; k < index.length; k++) index[k] = 4 * Math.floor(k / 6) + order[k % 6];
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.index);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, index, gl.STATIC_DRAW);
    this.room = count;
  }

  /** Set the colours (RGBA) of a set. */
  colours(name, rgba) {
    store(this.gl, this.sets.get(name).textures[2], rgba, this.gl.RGBA8);
  }

  /** Say which tracks are selected: flags by track, or null. */
  flags(name, chosen) {
    const { textures, n } = this.sets.get(name);
    const flags = new Uint8Array(n);
    if (chosen) flags.set(chosen.map((v) => 255 * v));
    store(this.gl, textures[3], flags, this.gl.R8);
  }

  begin(ratio) {
    const { gl } = this;
    this.ratio = ratio;
    gl.disable(gl.SCISSOR_TEST);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.SCISSOR_TEST);
  }

  /** Draw segments from .. to of a set into a pane. */
  lines(name, from, to, look) {
    if (to <= from) return;
    const { gl } = this;
    const p = this.start(this.line, look);
    gl.uniform4f(p.uLook, look.width * this.ratio, look.now, look.tail, look.rest);
    gl.uniform1f(p.uDots, 6 * this.ratio);
    const { textures } = this.sets.get(name);
    bind(gl, [[p.uFrom, textures[0]], [p.uTo, textures[1]], [p.uInk, textures[2]], [p.uChosen, textures[3]]]);
    for (const pass of look.chosen ? [0, 1] : [0]) {
      gl.uniform1f(p.uPass, pass);
      gl.drawElements(gl.TRIANGLES, 6 * (to - from), gl.UNSIGNED_INT, 24 * from);
    }
  }

  /** Draw dots: place (x, y, z, hollow + 2 selected), colour (RGBA). */
  dots(points, look) {
    if (!points.count) return;
    const { gl } = this;
    const p = this.start(this.dot, look);
    gl.uniform1f(p.uRadius, look.radius * this.ratio);
    gl.uniform4f(p.uRim, ...look.rim);
    gl.uniform4f(p.uRing, ...look.mark);
    const textures = (this.dotTextures[look.name] ??= [gl.createTexture(), gl.createTexture()]);
    store(gl, textures[0], points.place, gl.RGBA32F);
    store(gl, textures[1], points.colour, gl.RGBA8);
    bind(gl, [[p.uPlace, textures[0]], [p.uInk, textures[1]]]);
    this.corners(points.count);
    gl.drawElements(gl.TRIANGLES, 6 * points.count, gl.UNSIGNED_INT, 0);
  }

  start(p, { pane, matrix }) {
    const { gl, ratio } = this;
    const y = this.canvas.height - Math.round((pane.y + pane.h) * ratio);
    const w = Math.round(pane.w * ratio);
    const h = Math.round(pane.h * ratio);
    const x = Math.round(pane.x * ratio);
    gl.viewport(x, y, w, h);
    gl.scissor(x, y, w, h);
    gl.useProgram(p.program);
    gl.uniformMatrix4fv(p.uMatrix, false, matrix);
    gl.uniform2f(p.uSize, w, h);
    return p;
  }

  /** Give the memory of the card back. */
  close() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) {
    const shaders = gl.getAttachedShaders(made).map((s) => gl.getShaderInfoLog(s));
    throw new Error(`shaders do not link: ${gl.getProgramInfoLog(made)} ${shaders.join(" ")}`);
  }
  const out = { program: made };
  const count = gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS);
  for (let k = 0; k < count; k++) {
    const { name } = gl.getActiveUniform(made, k);
    out[name] = gl.getUniformLocation(made, name);
  }
  return out;
}

/** Put numbers into a texture, ROW texels wide, the last row filled up. */
function store(gl, texture, data, format) {
  const [layout, type, parts] = {
    [gl.RGBA32F]: [gl.RGBA, gl.FLOAT, 4],
    [gl.RGBA8]: [gl.RGBA, gl.UNSIGNED_BYTE, 4],
    [gl.R8]: [gl.RED, gl.UNSIGNED_BYTE, 1],
  }[format];
  const rows = Math.max(1, Math.ceil(data.length / parts / ROW));
  let whole = data;
  if (data.length !== rows * ROW * parts) {
    whole = new data.constructor(rows * ROW * parts);
    whole.set(data);
  }
  gl.bindTexture(gl.TEXTURE_2D, texture);
  if (texture.rows === rows) {
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, ROW, rows, layout, type, whole);
    return;
  }
  texture.rows = rows;
  gl.texImage2D(gl.TEXTURE_2D, 0, format, ROW, rows, 0, layout, type, whole);
  for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
    gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
  }
}

function bind(gl, pairs) {
  pairs.forEach(([uniform, texture], unit) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.uniform1i(uniform, unit);
  });
  gl.activeTexture(gl.TEXTURE0);
}
