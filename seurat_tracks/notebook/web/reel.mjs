// Frames of the video: asked for when needed, a few ahead, kept as JPEG; some decoded.

const DECODED = 48;
const IN_FLIGHT = 4;

export class Reel {
  /** ask(index, width) promises JPEG bytes, or null where the video has no such frame. */
  constructor(ask, changed) {
    this.ask = ask;
    this.changed = changed;
    this.width = 960;
    this.clear();
  }

  clear() {
    this.bytes = new Map();
    this.bitmaps = new Map();
    this.flying = new Set();
    this.decoding = new Set();
    this.wanted = -1;
    this.failed = "";
  }

  /** The decoded frame; null while it is on its way, false if there is none. */
  get(index) {
    this.wanted = index;
    const bitmap = this.bitmaps.get(index);
    if (bitmap) {
      this.bitmaps.delete(index);
      this.bitmaps.set(index, bitmap); // the latest used is thrown away last
      return bitmap;
    }
    if (this.bytes.get(index) === null) return false;
    this.fetch(index);
    return null;
  }

  /** Get frames ready that come next. */
  ahead(index, count, length) {
    for (let k = 1; k <= count && index + k < length; k++) this.fetch(index + k);
  }

  fetch(index) {
    const bytes = this.bytes.get(index);
    if (bytes) this.decode(index, bytes);
    if (this.bytes.has(index) || this.flying.has(index)) return;
    if (this.flying.size >= IN_FLIGHT) return;
    this.flying.add(index);
    const { bitmaps } = this; // another video may take over meanwhile
    this.ask(index, this.width).then(
      (data) => {
        if (bitmaps !== this.bitmaps) return;
        this.flying.delete(index);
        this.failed = "";
        this.bytes.set(index, data);
        if (data) this.decode(index, data);
        else this.changed();
        if (this.wanted >= 0 && !this.bytes.has(this.wanted)) this.fetch(this.wanted);
      },
      (error) => {
        this.flying.delete(index);
        this.failed = String(error.message ?? error);
        this.changed();
      },
    );
  }

  async decode(index, bytes) {
    if (this.bitmaps.has(index) || this.decoding.has(index)) return;
    this.decoding.add(index);
    const { bitmaps } = this;
    try {
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
      bitmaps.set(index, bitmap);
      for (const old of bitmaps.keys()) {
        if (bitmaps.size <= DECODED) break;
        bitmaps.get(old).close();
        bitmaps.delete(old);
      }
    } catch {
      this.bytes.set(index, null);
    }
    this.decoding.delete(index);
    this.changed();
  }
}
