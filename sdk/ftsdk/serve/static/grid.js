// Numbers over the picture: a probability field, its threshold, its outline, its run lengths.

/** Decode a grey PNG into {width, height, values} with values from 0 to 1. */
export async function decodeGrey(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const values = new Float32Array(width * height);
  for (let i = 0; i < values.length; i += 1) values[i] = data[4 * i] / 255;
  return { width, height, values };
}

/** Resize bilinearly with half-pixel centres, as the service does. */
export function resize(field, width, height) {
  const values = new Float32Array(width * height);
  const across = samples(field.width, width);
  const down = samples(field.height, height);
  for (let y = 0; y < height; y += 1) {
    const [top, bottom, fy] = down[y];
    for (let x = 0; x < width; x += 1) {
      const [left, right, fx] = across[x];
      const upper = mix(field.values, top * field.width, left, right, fx);
      const lower = mix(field.values, bottom * field.width, left, right, fx);
      values[y * width + x] = upper + (lower - upper) * fy;
    }
  }
  return { width, height, values };
}

function samples(from, to) {
  return Array.from({ length: to }, (_, i) => {
    const place = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
    const low = Math.floor(place);
    return [low, Math.min(low + 1, from - 1), place - low];
  });
}

function mix(values, row, left, right, share) {
  return values[row + left] + (values[row + right] - values[row + left]) * share;
}

/** Return the share of the field above the threshold. */
export function coverage(field, threshold) {
  let inside = 0;
  for (const value of field.values) inside += value > threshold;
  return inside / field.values.length;
}

/** Return 0/1 of the field above the threshold, as a new field. */
export function cut(field, threshold) {
  return { ...field, values: field.values.map((value) => (value > threshold ? 1 : 0)) };
}

/** Return run lengths in raster order, first a run outside. */
export function runLengths(field) {
  const lengths = [];
  let inside = 0;
  let run = 0;
  for (const value of field.values) {
    if ((value > 0.5 ? 1 : 0) !== inside) {
      lengths.push(run);
      run = 0;
      inside = 1 - inside;
    }
    run += 1;
  }
  lengths.push(run);
  return lengths;
}

/** Trace where the field crosses the threshold, in units of the whole (0 to 1): marching squares. */
export function outline(field, threshold) {
  const path = new Path2D();
  const { width, height } = field;
  const at = (x, y) =>
    x < 0 || y < 0 || x >= width || y >= height ? 0 : field.values[y * width + x];
  for (let y = -1; y < height; y += 1) {
    for (let x = -1; x < width; x += 1) {
      const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)];
      const inside = corners.map((value) => value > threshold);
      if (inside.every((flag) => flag === inside[0])) continue;
      const crossings = [];
      for (let side = 0; side < 4; side += 1) {
        const next = (side + 1) % 4;
        if (inside[side] === inside[next]) continue;
        const t = (threshold - corners[side]) / (corners[next] - corners[side]);
        const [ax, ay] = CORNERS[side];
        const [bx, by] = CORNERS[next];
        crossings.push([x + ax + (bx - ax) * t + 0.5, y + ay + (by - ay) * t + 0.5]);
      }
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        path.moveTo(crossings[i][0] / width, crossings[i][1] / height);
        path.lineTo(crossings[i + 1][0] / width, crossings[i + 1][1] / height);
      }
    }
  }
  return path;
}

const CORNERS = [[0, 0], [1, 0], [1, 1], [0, 1]];

/** Paint a field into a canvas of its size; colour(value) returns [r, g, b, a], 0 to 255. */
export function paintField(field, colour) {
  const canvas = new OffscreenCanvas(field.width, field.height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(field.width, field.height);
  field.values.forEach((value, i) => image.data.set(colour(value), 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

const HEAT = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];

/** Return the heat map's colour of a probability. */
export function heat(value) {
  const place = Math.min(Math.max(value, 0), 1) * (HEAT.length - 1);
  const low = Math.min(Math.floor(place), HEAT.length - 2);
  return HEAT[low].map((from, i) => from + (HEAT[low + 1][i] - from) * (place - low));
}
