// Draws lines and dots with WebGL 2: instanced quads, so that lines have a width.

const LINE_VERTEX = `#version 300 es
precision highp float;
layout(location=0) in vec3 aFrom;
layout(location=1) in vec3 aTo;
layout(location=2) in vec4 aColour;
layout(location=3) in float aEnd;
layout(location=4) in vec2 aFlags;
uniform mat4 uMatrix;
uniform vec2 uSize;
uniform vec4 uLook;   // width, now, tail, opacity of what is not selected
uniform float uPass;  // 0 all but the selected, 1 the selected
out vec4 vColour;
out vec3 vPlace;      // across, along, half width, in pixels
out float vBridge;
void main() {
  vec4 a = uMatrix * vec4(aFrom, 1.0);
  vec4 b = uMatrix * vec4(aTo, 1.0);
  float chosen = aFlags.y;
  if (a.w < 1e-6 || b.w < 1e-6 || chosen != uPass) {
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    return;
  }
  vec2 p = a.xy / a.w * uSize * 0.5;
  vec2 q = b.xy / b.w * uSize * 0.5;
  vec2 d = q - p;
  float len = length(d);
  vec2 dir = len > 1e-4 ? d / len : vec2(1.0, 0.0);
  float side = float(gl_VertexID & 1) * 2.0 - 1.0;
  float far = float(gl_VertexID >> 1);
  float width = uLook.x * (aFlags.x > 0.5 ? 0.8 : 1.0) * (chosen > 0.5 ? 1.5 : 1.0);
  float reach = 0.5 * width + 1.0;
  vec2 at = mix(p, q, far) + dir * (far * 2.0 - 1.0) * 0.5
    + vec2(-dir.y, dir.x) * side * reach;
  gl_Position = vec4(at / (uSize * 0.5), 0.0, 1.0);
  vPlace = vec3(side * reach, far * len, 0.5 * width);
  vBridge = aFlags.x;
  float age = clamp((uLook.y - aEnd) / max(uLook.z, 1.0), 0.0, 1.0);
  float strength = 1.0 - 0.75 * age;
  vColour = vec4(aColour.rgb, aColour.a * strength
    * (aFlags.x > 0.5 ? 0.75 : 1.0) * (chosen > 0.5 ? 1.0 : uLook.w));
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
  float edge = 1.0 - smoothstep(vPlace.z - 0.5, vPlace.z + 0.5, abs(vPlace.x));
  float alpha = vColour.a * edge;
  colour = vec4(vColour.rgb * alpha, alpha);
}`;

const DOT_VERTEX = `#version 300 es
precision highp float;
layout(location=0) in vec3 aPlace;
layout(location=1) in vec4 aColour;
layout(location=2) in vec2 aKind;   // hollow, selected
uniform mat4 uMatrix;
uniform vec2 uSize;
uniform float uRadius;
out vec4 vColour;
out vec2 vPlace;
out vec2 vKind;
out float vRadius;
void main() {
  vec4 a = uMatrix * vec4(aPlace, 1.0);
  if (a.w < 1e-6) {
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    return;
  }
  vec2 corner = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1)) * 2.0 - 1.0;
  vRadius = uRadius * (aKind.y > 0.5 ? 1.6 : 1.0) * (aKind.x > 0.5 ? 1.15 : 1.0);
  vPlace = corner * (vRadius + 2.0);
  vColour = aColour;
  vKind = aKind;
  gl_Position = vec4((a.xy / a.w * uSize * 0.5 + vPlace) / (uSize * 0.5), 0.0, 1.0);
}`;

const DOT_FRAGMENT = `#version 300 es
precision highp float;
in vec4 vColour;
in vec2 vPlace;
in vec2 vKind;
in float vRadius;
uniform vec4 uRim;
out vec4 colour;
void main() {
  float r = length(vPlace);
  float disc = 1.0 - smoothstep(vRadius - 0.5, vRadius + 0.5, r);
  vec4 ink = vec4(vColour.rgb, 1.0) * vColour.a * disc;
  if (vKind.x > 0.5) {
    colour = ink * smoothstep(vRadius - 2.2, vRadius - 1.2, r);
    return;
  }
  // A rim in the colour of the background sets dots apart from lines.
  float rim = 1.0 - smoothstep(vRadius + 0.5, vRadius + 1.5, r);
  vec4 edge = vec4(uRim.rgb, 1.0) * uRim.a * vColour.a * rim;
  colour = ink + edge * (1.0 - ink.a);
}`;

/** Draws into a canvas that it shares with nothing else; throws without WebGL 2. */
export class GLDrawer {
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    if (!gl) throw new Error("WebGL 2 is not available");
    this.gl = gl;
    this.canvas = canvas;
    this.sets = new Map();
    this.line = program(gl, LINE_VERTEX, LINE_FRAGMENT);
    this.dot = program(gl, DOT_VERTEX, DOT_FRAGMENT);
    this.dots_ = { place: gl.createBuffer(), colour: gl.createBuffer(), kind: gl.createBuffer() };
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.disable(gl.DEPTH_TEST);
  }

  /** Keep a set of segments on the card under a name. */
  upload(name, set) {
    const { gl } = this;
    for (const buffer of Object.values(this.sets.get(name)?.buffers ?? {})) {
      gl.deleteBuffer(buffer);
    }
    const buffers = {};
    for (const part of ["ends", "end", "colour", "flags"]) buffers[part] = gl.createBuffer();
    store(gl, buffers.ends, set.ends);
    store(gl, buffers.end, set.end);
    store(gl, buffers.colour, new Uint8Array(4 * set.count));
    this.sets.set(name, { set, buffers });
    this.flags(name, null);
  }

  /** Set the colours (RGBA) of a set. */
  colours(name, rgba) {
    store(this.gl, this.sets.get(name).buffers.colour, rgba);
  }

  /** Say which tracks are selected: flags by track, or null. */
  flags(name, chosen) {
    const { set, buffers } = this.sets.get(name);
    const flags = new Uint8Array(2 * set.count);
    for (let k = 0; k < set.count; k++) {
      flags[2 * k] = set.bridge[k];
      flags[2 * k + 1] = chosen && chosen[set.track[k]] ? 1 : 0;
    }
    store(this.gl, buffers.flags, flags);
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
    const { gl } = this;
    const { set, buffers } = this.sets.get(name);
    if (to <= from) return;
    this.pane(look.pane);
    const p = this.line;
    gl.useProgram(p.program);
    gl.uniformMatrix4fv(p.uMatrix, false, look.matrix);
    gl.uniform2f(p.uSize, look.pane.w * this.ratio, look.pane.h * this.ratio);
    const width = look.width * this.ratio;
    gl.uniform4f(p.uLook, width, look.now, look.tail, look.rest);
    gl.uniform1f(p.uDots, 6 * this.ratio);
    const stride = 8 * set.dim;
    attribute(gl, buffers.ends, 0, set.dim, gl.FLOAT, false, stride, from * stride);
    attribute(gl, buffers.ends, 1, set.dim, gl.FLOAT, false, stride, from * stride + 4 * set.dim);
    attribute(gl, buffers.colour, 2, 4, gl.UNSIGNED_BYTE, true, 4, 4 * from);
    attribute(gl, buffers.end, 3, 1, gl.FLOAT, false, 4, 4 * from);
    attribute(gl, buffers.flags, 4, 2, gl.UNSIGNED_BYTE, false, 2, 2 * from);
    for (const pass of look.chosen ? [0, 1] : [0]) {
      gl.uniform1f(p.uPass, pass);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, to - from);
    }
  }

  /** Draw dots: place (3), colour (RGBA), kind (hollow, selected). */
  dots(points, look) {
    const { gl } = this;
    if (!points.count) return;
    this.pane(look.pane);
    const p = this.dot;
    gl.useProgram(p.program);
    gl.uniformMatrix4fv(p.uMatrix, false, look.matrix);
    gl.uniform2f(p.uSize, look.pane.w * this.ratio, look.pane.h * this.ratio);
    gl.uniform1f(p.uRadius, look.radius * this.ratio);
    gl.uniform4f(p.uRim, ...look.rim);
    const { place, colour, kind } = this.dots_;
    store(gl, place, points.place, gl.STREAM_DRAW);
    store(gl, colour, points.colour, gl.STREAM_DRAW);
    store(gl, kind, points.kind, gl.STREAM_DRAW);
    attribute(gl, place, 0, 3, gl.FLOAT, false, 12, 0);
    attribute(gl, colour, 1, 4, gl.UNSIGNED_BYTE, true, 4, 0);
    attribute(gl, kind, 2, 2, gl.UNSIGNED_BYTE, false, 2, 0);
    gl.disableVertexAttribArray(3);
    gl.disableVertexAttribArray(4);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, points.count);
  }

  pane(rect) {
    const { gl, ratio } = this;
    const y = this.canvas.height - Math.round((rect.y + rect.h) * ratio);
    const place = [Math.round(rect.x * ratio), y, Math.round(rect.w * ratio), Math.round(rect.h * ratio)];
    gl.viewport(...place);
    gl.scissor(...place);
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

function store(gl, buffer, data, usage = gl.STATIC_DRAW) {
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, data, usage);
}

function attribute(gl, buffer, index, size, type, normalised, stride, offset) {
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.enableVertexAttribArray(index);
  gl.vertexAttribPointer(index, size, type, normalised, stride, offset);
  gl.vertexAttribDivisor(index, 1);
}
