// From a file, or the camera's picture, to a "source" of pixels (see prepare.js), or to the name of a sentence in
// words.json that says what is wrong with it.

const MOST_BYTES = 50_000_000, LEAST_SIDE = 8, MOST_ASPECT = 50; // as flowers/data/decode.py has it

/** What is wrong with a photo: `words` is the key of its sentence. */
export class Problem extends Error {
  constructor(words) {
    super(words);
    this.words = words;
  }
}

// The first bytes decide, never the name: an SVG drawing, say, is no photo.
const KINDS = [
  [/^\xff\xd8\xff/, "image/jpeg"],
  [/^\x89PNG\r\n\x1a\n/, "image/png"],
  [/^RIFF[^]{4}WEBP/, "image/webp"],
  [/^[^]{4}ftyp(avi[fs]|(mif1|msf1)[^]{4}([^]{4})*?avi[fs])/, "image/avif"],
  [/^[^]{4}ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)/, "image/heic"], // Safari reads these, most others do not
  [/^GIF8[79]a/, "image/gif"],
  [/^BM[^]{12}[\x0c-\x7c]\0\0\0/, "image/bmp"],
  [/^(II[*+]\0|MM\0[*+])/, "image/tiff"], // Safari alone
];

/**
 * The photo in a Blob: { picture, source }; `picture` is an <img> whose `src` may be shown.
 *
 * By an <img> and not by createImageBitmap, of which Safari long ignored how the camera was held; an <img> is upright,
 * in the page's colours, in every browser of these years.
 */
export async function openPhoto(file) {
  if (file.size > MOST_BYTES) throw new Problem("photo_large");
  const kind = await kindOf(file);
  const picture = new Image();
  picture.src = URL.createObjectURL(new Blob([file], { type: kind }));
  try {
    await new Promise((done, failed) => Object.assign(picture, { onload: done, onerror: failed }));
  } catch {
    close({ picture });
    throw new Problem(kind === "image/heic" || kind === "image/tiff" ? "photo_unknown" : "photo_broken");
  }
  const { naturalWidth: width, naturalHeight: height } = picture;
  if (Math.min(width, height) < LEAST_SIDE || Math.max(width, height) > MOST_ASPECT * Math.min(width, height)) {
    close({ picture });
    throw new Problem("photo_shape");
  }
  const source = sourceOf(picture, width, height);
  if (kind === "image/jpeg") source.turned = turned(await orientation(file));
  return { picture, source };
}

/** Give the memory of a photo back. */
export function close(photo) {
  if (photo) URL.revokeObjectURL(photo.picture.src);
}

/** A source of what an <img>, a <video> or a canvas shows; transparent places are white. */
export function sourceOf(drawable, width, height) {
  function read(left, top, right, bottom) {
    // Only the part that is asked for: a canvas of a whole photo of 48 megapixels is more than phones allow.
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [right - left, bottom - top];
    const drawing = canvas.getContext("2d", { willReadFrequently: true });
    if (!drawing) throw new Problem("memory");
    drawing.fillStyle = "#fff";
    drawing.fillRect(0, 0, canvas.width, canvas.height);
    drawing.drawImage(drawable, left, top, canvas.width, canvas.height, 0, 0, canvas.width, canvas.height);
    const { data } = drawing.getImageData(0, 0, canvas.width, canvas.height);
    canvas.width = canvas.height = 0; // Safari keeps a canvas's memory for longer than the canvas
    return data;
  }
  return { width, height, read };
}

/** Whether this browser lets a page see pixels; some that hide who somebody is give noise instead. */
export function seesPixels() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const drawing = canvas.getContext("2d", { willReadFrequently: true });
  if (!drawing) return false;
  drawing.fillStyle = "rgb(40, 120, 200)";
  drawing.fillRect(0, 0, 8, 8);
  const { data } = drawing.getImageData(0, 0, 8, 8);
  return data.every((value, n) => Math.abs(value - [40, 120, 200, 255][n % 4]) <= 3);
}

async function kindOf(file) {
  const bytes = new Uint8Array(await file.slice(0, 64).arrayBuffer());
  const head = String.fromCharCode(...bytes);
  const found = KINDS.find(([pattern]) => pattern.test(head));
  if (!found) throw new Problem("photo_none");
  return found[1];
}

/** How the camera was held, by a JPEG's EXIF: 1 (upright) to 8. The browser turns the picture; see `turned`. */
async function orientation(file) {
  const bytes = new DataView(await file.slice(0, 65_536).arrayBuffer());
  try {
    for (let at = 2; bytes.getUint8(at) === 0xff; at += 2 + bytes.getUint16(at + 2)) {
      if (bytes.getUint8(at + 1) !== 0xe1 || bytes.getUint32(at + 4) !== 0x45786966) continue; // not "Exif"
      const tiff = at + 10, little = bytes.getUint16(tiff) === 0x4949;
      const table = tiff + bytes.getUint32(tiff + 4, little);
      for (let n = 0; n < bytes.getUint16(table, little); n++) {
        const entry = table + 2 + 12 * n;
        if (bytes.getUint16(entry, little) === 0x0112) return bytes.getUint16(entry + 8, little);
      }
      break;
    }
  } catch { /* cut short or damaged: as it is stored */ }
  return 1;
}

/** Whether the first stored pixel lies at the right, and at the bottom, of the upright picture (CIPA DC-008 4.6.4). */
function turned(held) {
  return [[2, 3, 6, 7].includes(held), [3, 4, 7, 8].includes(held)];
}
