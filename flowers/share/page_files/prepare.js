// From a picture to the square of pixels that the network sees, exactly as Python does it (flowers/data/preprocess.py,
// by Pillow): a canvas would make a photo smaller in its own way, and the network would see another picture.
//
// Pixels are Uint8Arrays of four bytes each: red, green, blue, and one that nobody reads. A "source" is
// { width, height, read(left, top, right, bottom) }, of which only the part that is asked for is ever in memory. That
// of a JPEG also has `turned`, [across, down]: whether its first stored pixel lies at the right, and at the bottom.

const BITS = 22; // of a weight's fraction, as Pillow has it for pixels of 8 bits
const BAND = 4_000_000; // pixels read at once: a photo of 48 megapixels must not need all memory of a phone

/** The network's input, Uint8Array (3, size, size). */
export function prepare(source, { size, resize }) {
  if (source.turned) source = drafted(source, resize);
  const copy = workingSize(source, resize);
  if (copy.scaled) {
    // The short side becomes `resize` pixels, and the middle is cut out.
    const left = Math.trunc((copy.width - size) / 2), top = Math.trunc((copy.height - size) / 2);
    return planes(resample(source, copy.box, copy, { left, top, size }), size);
  }
  // Too small to be made smaller: one resampling cuts and enlarges.
  const [x, y] = copy.box;
  const side = (Math.min(copy.width, copy.height) * size) / resize;
  const left = (copy.width - side) / 2, top = (copy.height - side) / 2;
  const small = part(source, copy.box);
  const whole = { width: size, height: size };
  if (side === size) {
    const at = [x + Math.trunc(left), y + Math.trunc(top)];
    return planes(source.read(at[0], at[1], at[0] + size, at[1] + size), size);
  }
  return planes(resample(small, [left, top, left + side, top + side], whole, { left: 0, top: 0, size }), size);
}

/**
 * As `Image.draft`: Python's decoder makes a JPEG smaller by a whole factor as it decodes, in blocks that begin at the
 * first stored pixel; its short side stays at least `resize` long.
 */
function drafted(source, resize) {
  const most = Math.floor(Math.min(source.width, source.height) / resize);
  const factor = [8, 4, 2].find((one) => one <= most) ?? 1;
  const beyond = [source.width, source.height].map((side, axis) => source.turned[axis] ? -side & (factor - 1) : 0);
  return shrunk(source, factor, factor, ...beyond);
}

/** As `Preprocessing.reduce`: which part is kept, and the size that it gets. Of a long picture the middle remains. */
function workingSize(source, resize) {
  const short = Math.min(source.width, source.height);
  const width = Math.min(source.width, 2 * short), height = Math.min(source.height, 2 * short);
  const left = Math.floor((source.width - width) / 2), top = Math.floor((source.height - height) / 2);
  const box = [left, top, left + width, top + height];
  if (short <= resize) return { scaled: false, box, width, height };
  const scale = resize / short;
  return { scaled: true, box, width: roundEven(width * scale), height: roundEven(height * scale) };
}

function roundEven(value) {
  const below = Math.floor(value);
  if (value - below === 0.5) return below + (below % 2);
  return Math.round(value);
}

/** As `Image.resize(size, BILINEAR, box, reducing_gap=3)`, of which only a square window is computed. */
function resample(source, box, size, window) {
  const factors = [0, 1].map((axis) => {
    const scale = (box[2 + axis] - box[axis]) / (axis ? size.height : size.width);
    return Math.trunc(scale / 3) || 1;
  });
  if (factors[0] > 1 || factors[1] > 1) {
    const safe = safeBox(source, box, size);
    source = shrunk(part(source, safe), ...factors);
    box = box.map((edge, n) => (edge - safe[n % 2]) / factors[n % 2]);
  }
  const columns = kernels(source.width, box[0], box[2], size.width, window.left, window.size);
  const rows = kernels(source.height, box[1], box[3], size.height, window.top, window.size);
  const [left, right] = span(columns), [top, bottom] = span(rows);
  const pixels = source.read(left, top, right, bottom);
  const across = convolve(pixels, bottom - top, right - left, columns, left, false);
  return convolve(across, window.size, bottom - top, rows, top, true);
}

function safeBox(source, box, size) {
  const [x, y] = [(0.5 * (box[2] - box[0])) / size.width, (0.5 * (box[3] - box[1])) / size.height];
  return [
    Math.max(0, Math.trunc(box[0] - x)), Math.max(0, Math.trunc(box[1] - y)),
    Math.min(source.width, Math.ceil(box[2] + x)), Math.min(source.height, Math.ceil(box[3] + y)),
  ];
}

/** For outputs `first` … `first + count`: which inputs each is made of, and how much of each (a triangle's weights). */
function kernels(length, from, to, outputs, first, count) {
  const scale = (to - from) / outputs, support = Math.max(scale, 1);
  const made = [];
  for (let n = first; n < first + count; n++) {
    const centre = from + (n + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - support + 0.5));
    const high = Math.min(length, Math.trunc(centre + support + 0.5));
    const weights = [];
    for (let x = low; x < high; x++) weights.push(Math.max(0, 1 - Math.abs((x - centre + 0.5) / support)));
    const sum = weights.reduce((one, other) => one + other, 0);
    made.push({ low, weights: weights.map((weight) => Math.trunc(0.5 + (weight / sum) * 2 ** BITS)) });
  }
  return made;
}

function span(made) {
  const last = made[made.length - 1];
  return [made[0].low, last.low + last.weights.length];
}

/** Weighted sums along rows (or columns, with `down`): `lines` of them, whose inputs begin at `start`. */
function convolve(pixels, lines, stride, made, start, down) {
  const outputs = made.length;
  const [width, height] = down ? [lines, outputs] : [outputs, lines];
  const result = new Uint8ClampedArray(4 * width * height);
  const step = down ? 4 * width : 4; // from one input to the next
  for (let n = 0; n < outputs; n++) {
    const { low, weights } = made[n];
    for (let line = 0; line < lines; line++) {
      let at = down ? 4 * ((low - start) * width + line) : 4 * (line * stride + low - start);
      let red = 2 ** (BITS - 1), green = red, blue = red;
      for (const weight of weights) {
        red += weight * pixels[at];
        green += weight * pixels[at + 1];
        blue += weight * pixels[at + 2];
        at += step;
      }
      const to = down ? 4 * (n * width + line) : 4 * (line * outputs + n);
      result[to] = red >> BITS;
      result[to + 1] = green >> BITS;
      result[to + 2] = blue >> BITS;
    }
  }
  return result;
}

/** A part of a source, as a source of its own. */
function part(source, [left, top, right, bottom]) {
  return {
    width: right - left,
    height: bottom - top,
    read: (l, t, r, b) => source.read(left + l, top + t, left + r, top + b),
  };
}

/**
 * A source whose pixels are the means of blocks of another, as `Image.reduce` makes it; read in bands. The first blocks
 * begin so many pixels `before` and `above` the picture.
 */
function shrunk(source, across, down, before = 0, above = 0) {
  if (across === 1 && down === 1) return source;
  const edge = (block, length, skew, end) => Math.min(end, Math.max(0, block * length - skew));
  const column = (block) => edge(block, across, before, source.width);
  const row = (block) => edge(block, down, above, source.height);
  function read(left, top, right, bottom) {
    const columns = right - left, result = new Uint8ClampedArray(4 * columns * (bottom - top));
    const [from, to] = [column(left), column(right)];
    const rows = Math.max(1, Math.floor(BAND / (to - from) / down));
    for (let first = top; first < bottom; first += rows) {
      const last = Math.min(bottom, first + rows), high = row(first);
      const pixels = source.read(from, high, to, row(last));
      for (let y = first; y < last; y++) {
        for (let x = left; x < right; x++) {
          const [begin, end] = [column(x), column(x + 1)];
          let red = 0, green = 0, blue = 0;
          for (let line = row(y); line < row(y + 1); line++) {
            let at = 4 * ((line - high) * (to - from) + begin - from);
            for (let n = begin; n < end; n++, at += 4) {
              red += pixels[at];
              green += pixels[at + 1];
              blue += pixels[at + 2];
            }
          }
          const count = (row(y + 1) - row(y)) * (end - begin), half = count >> 1;
          const at = 4 * ((y - top) * columns + x - left);
          result[at] = Math.floor((red + half) / count);
          result[at + 1] = Math.floor((green + half) / count);
          result[at + 2] = Math.floor((blue + half) / count);
        }
      }
    }
    return result;
  }
  const [width, height] = [Math.ceil((source.width + before) / across), Math.ceil((source.height + above) / down)];
  return { width, height, read };
}

/** The red of all pixels, then the green, then the blue. */
function planes(pixels, size) {
  const count = size * size, result = new Uint8Array(3 * count);
  for (let n = 0; n < count; n++) {
    result[n] = pixels[4 * n];
    result[count + n] = pixels[4 * n + 1];
    result[2 * count + n] = pixels[4 * n + 2];
  }
  return result;
}
