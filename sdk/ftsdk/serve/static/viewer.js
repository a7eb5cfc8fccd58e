// The picture on a canvas: layers, zoom, pan, painting.

import { coverage, cut, heat, outline, paintField, resize } from "./grid.js";

const MARK = [255, 45, 120];
const TINT = 0.65;
const WORK_SIDE = 512;
const MAX_ZOOM = 24;
const UNDO_STEPS = 20;
const FADE_MS = 650;

export class Viewer {
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.onChange = onChange;
    this.mode = "overlay";
    this.opacity = 0.7;
    this.threshold = 0.5;
    this.tool = "move";
    this.brush = 8;
    this.pointers = new Map();
    this.pinching = false;
    this.clear();
    new ResizeObserver(() => this.resized()).observe(canvas);
    this.listen();
  }

  clear() {
    this.image?.close(); // a decoded picture is large
    this.image = null;
    this.places = null;
    this.face = undefined; // null is the whole picture
    this.forget();
  }

  /** Drop the mask, keep the picture. */
  forget() {
    this.field = null;
    this.painted = null;
    this.undoable = [];
    this.highlight = null;
    this.cursor = null;
    this.draw();
  }

  setImage(image) {
    this.image?.close();
    this.image = image;
    this.fit();
  }

  /** Show a probability field; it fades in. */
  setField(field) {
    const scale = Math.min(1, WORK_SIDE / Math.max(this.image.width, this.image.height));
    const width = Math.max(1, Math.round(this.image.width * scale));
    const height = Math.max(1, Math.round(this.image.height * scale));
    this.field = resize(field, width, height);
    this.painted = null;
    this.undoable = [];
    this.fadeFrom = matchMedia("(prefers-reduced-motion: reduce)").matches ? -FADE_MS : performance.now();
    this.layersChanged();
  }

  set(options) {
    Object.assign(this, options);
    this.canvas.classList.toggle("painting", this.tool !== "move");
    if (this.tool === "move") this.cursor = null;
    this.layersChanged();
  }

  get coverage() {
    return this.field ? coverage(this.shown, this.cutAt) : null;
  }

  get shown() {
    return this.painted ?? this.field;
  }

  get cutAt() {
    return this.painted ? 0.5 : this.threshold;
  }

  layersChanged() {
    if (this.field) {
      this.outline = outline(this.shown, this.cutAt);
      this.layer = this.makeLayer();
    }
    this.draw();
    this.onChange();
  }

  makeLayer() {
    const cutAt = this.cutAt;
    const alpha = 255 * this.opacity;
    const colours = {
      overlay: (p) => [...MARK, p > cutAt ? alpha * TINT * (0.35 + 0.65 * p) : 0],
      heat: (p) => [...heat(p), alpha],
      cut: (p) => [16, 16, 20, p > cutAt ? 0 : 255 * Math.min(1, 0.2 + this.opacity)],
    };
    return colours[this.mode] ? paintField(this.shown, colours[this.mode]) : null;
  }

  // Drawing

  resized() {
    const ratio = devicePixelRatio || 1;
    const { width, height } = this.canvas.getBoundingClientRect();
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.fit();
  }

  fit() {
    if (!this.image) return this.draw();
    const { width, height } = this.canvas;
    this.fitted = Math.min(width / this.image.width, height / this.image.height);
    this.scale = this.fitted;
    this.x = (width - this.image.width * this.scale) / 2;
    this.y = (height - this.image.height * this.scale) / 2;
    return this.draw();
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame((now) => this.render(now));
  }

  render(now) {
    const { context, canvas, image } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!image) return;
    const w = image.width * this.scale;
    const h = image.height * this.scale;
    context.setTransform(1, 0, 0, 1, this.x, this.y);
    context.imageSmoothingEnabled = this.scale < 6;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, w, h);
    context.imageSmoothingEnabled = true;
    if (this.field && this.mode !== "original" && !this.peeking) this.renderMask(now, w, h);
    if (this.highlight && this.face !== undefined && !this.peeking) this.renderHighlight(w, h);
    if (this.cursor) this.renderCursor(w, h);
  }

  renderMask(now, w, h) {
    const { context } = this;
    const fade = Math.min(1, Math.max(0, (now - this.fadeFrom) / FADE_MS));
    context.globalAlpha = fade;
    if (this.layer) context.drawImage(this.layer, 0, 0, w, h);
    if (this.mode === "overlay" || this.mode === "outline") {
      const path = new Path2D();
      path.addPath(this.outline, new DOMMatrix([w, 0, 0, h, 0, 0]));
      const line = 2 * (devicePixelRatio || 1);
      context.lineCap = "round";
      for (const [colour, width] of [["#fffc", line * 2], ["#ff2d78", line]]) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.stroke(path);
      }
    }
    context.globalAlpha = 1;
    if (fade < 1) this.draw();
  }

  renderHighlight(w, h) {
    const { context } = this;
    const box = this.face ?? { x: 0, y: 0, side: null, angle: 0 };
    const across = box.side ? (box.side / this.image.width) * w : w;
    const down = box.side ? (box.side / this.image.height) * h : h;
    const left = (box.x / this.image.width) * w;
    const top = (box.y / this.image.height) * h;
    const upright = new Path2D();
    for (const polygon of this.places?.[this.highlight] ?? []) {
      polygon.forEach(([px, py], i) => upright[i ? "lineTo" : "moveTo"](left + px * across, top + py * down));
      upright.closePath();
    }
    const place = new Path2D();
    const [middleX, middleY] = [left + across / 2, top + down / 2];
    place.addPath(upright, new DOMMatrix().translate(middleX, middleY).rotate(box.angle).translate(-middleX, -middleY));
    const veil = new Path2D();
    veil.rect(0, 0, w, h);
    veil.addPath(place);
    context.fillStyle = "#0b0b0fa0";
    context.fill(veil, "evenodd");
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5 * (devicePixelRatio || 1);
    context.setLineDash([6, 5]);
    context.stroke(place);
    context.setLineDash([]);
  }

  renderCursor(w, h) {
    const { context, field } = this;
    const [x, y] = [(this.cursor.x / field.width) * w, (this.cursor.y / field.height) * h];
    context.beginPath();
    context.arc(x, y, (this.brush / field.width) * w, 0, 2 * Math.PI);
    for (const [colour, width] of [["#000a", 4], ["#fff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
  }

  // Zoom and pan

  zoom(factor, at = { x: this.canvas.width / 2, y: this.canvas.height / 2 }) {
    if (!this.image) return;
    const scale = Math.min(Math.max(this.scale * factor, this.fitted * 0.5), this.fitted * MAX_ZOOM);
    this.x = at.x - ((at.x - this.x) * scale) / this.scale;
    this.y = at.y - ((at.y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.draw();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.draw();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), this.place(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.pressed(event));
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    for (const kind of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, (event) => this.lifted(event));
    }
    canvas.addEventListener("pointerleave", () => { this.cursor = null; this.draw(); });
    canvas.addEventListener("dblclick", () => this.tool === "move" && this.fit());
    canvas.addEventListener("keydown", (event) => this.typed(event));
  }

  place(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / bounds.width;
    return { x: (event.clientX - bounds.left) * ratio, y: (event.clientY - bounds.top) * ratio };
  }

  pressed(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.place(event));
    if (this.pointers.size > 1) this.startPinch();
    else if (this.paints) {
      this.remember();
      this.stroke(this.place(event), this.place(event));
    } else {
      this.canvas.classList.add("panning");
    }
  }

  moved(event) {
    const to = this.place(event);
    if (this.tool !== "move" && this.field) this.cursor = this.onField(to);
    const from = this.pointers.get(event.pointerId);
    if (!from) return this.draw();
    this.pointers.set(event.pointerId, to);
    if (this.pointers.size === 2) return this.pinched(event.pointerId, from, to);
    if (this.pinching) return this.draw();
    return this.paints ? this.stroke(from, to) : this.pan(to.x - from.x, to.y - from.y);
  }

  /** A second finger zooms; the dab that the first one made goes. */
  startPinch() {
    if (this.paints && !this.pinching) this.undo();
    this.pinching = true;
    this.cursor = null;
  }

  pinched(id, from, to) {
    const [other] = [...this.pointers].filter(([key]) => key !== id).map(([, point]) => point);
    const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
    this.zoom(distance(to) / distance(from), other);
  }

  lifted(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.pinching = false;
    this.canvas.classList.remove("panning");
  }

  typed(event) {
    const step = 40 * (devicePixelRatio || 1);
    const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const arrow = arrows[event.key];
    if (arrow && this.paints) this.nudge(-arrow[0], -arrow[1]);
    else if (arrow) this.pan(arrow[0] * step, arrow[1] * step);
    else if (event.key === "Enter" && this.paints) this.stamp();
    else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
  }

  // Painting, in the field's pixels

  get paints() {
    return this.tool !== "move" && this.field !== null;
  }

  onField(point) {
    const across = this.field.width / (this.image.width * this.scale);
    const down = this.field.height / (this.image.height * this.scale);
    return { x: (point.x - this.x) * across, y: (point.y - this.y) * down };
  }

  remember() {
    this.undoable.push(this.painted ? this.painted.values.slice() : null);
    if (this.undoable.length > UNDO_STEPS) this.undoable.shift();
    this.painted ??= cut(this.field, this.threshold);
  }

  stroke(from, to) {
    const [start, end] = [this.onField(from), this.onField(to)];
    const steps = Math.ceil(Math.hypot(end.x - start.x, end.y - start.y) / Math.max(1, this.brush / 2)) || 1;
    for (let i = 0; i <= steps; i += 1) {
      this.dab(start.x + ((end.x - start.x) * i) / steps, start.y + ((end.y - start.y) * i) / steps);
    }
    this.layersChanged();
  }

  dab(x, y) {
    const { width, height, values } = this.painted;
    const value = this.tool === "paint" ? 1 : 0;
    const radius = this.brush;
    for (let row = Math.max(0, Math.floor(y - radius)); row < Math.min(height, y + radius); row += 1) {
      for (let column = Math.max(0, Math.floor(x - radius)); column < Math.min(width, x + radius); column += 1) {
        if ((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius ** 2) values[row * width + column] = value;
      }
    }
  }

  nudge(dx, dy) {
    const step = Math.max(2, this.brush);
    this.cursor ??= { x: this.field.width / 2, y: this.field.height / 2 };
    this.cursor.x = Math.min(Math.max(this.cursor.x + dx * step, 0), this.field.width);
    this.cursor.y = Math.min(Math.max(this.cursor.y + dy * step, 0), this.field.height);
    this.draw();
  }

  stamp() {
    this.cursor ??= { x: this.field.width / 2, y: this.field.height / 2 };
    this.remember();
    this.dab(this.cursor.x, this.cursor.y);
    this.layersChanged();
  }

  undo() {
    if (!this.undoable.length) return;
    const values = this.undoable.pop();
    this.painted = values && { ...this.field, values };
    this.layersChanged();
  }

  erase() {
    if (!this.field) return;
    this.remember();
    this.painted.values.fill(0);
    this.layersChanged();
  }

  discardPaint() {
    this.painted = null;
    this.undoable = [];
    this.layersChanged();
  }
}
