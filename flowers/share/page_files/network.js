// The network as the page asks it: what is told of it (facts.js), the worker it computes in, and what it answers.
import told from "./facts.js";
import { Problem, openPhoto, close, seesPixels } from "./photo.js";
import { prepare } from "./prepare.js";

const MISTAKE = 0.02; // how far a confidence may be from what it should be, in the question of which the answer is known
// The smallest program that uses SIMD, which the runtime needs: WebAssembly with 128 bits at once.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

// `cache`: where the browser keeps the page's files, by the name that offline.js has for it.
export const facts = { ...told, cache: `flowers-page ${new URL("./", location.href).href} ${told.version}` };

let worker = null, count = 0, opened = null;
const open = new Map();

/** Load the network, once; `progress(share)` is told how much of it is here. Rejects with a Problem. */
export function load(progress = () => {}, full = () => {}) {
  opened ??= start(progress, full);
  return opened;
}

async function start(progress, full) {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD)) throw new Problem("no_simd");
  if (!seesPixels()) throw new Problem("no_pixels");
  let loaded = 0;
  worker = new Worker("worker.js");
  worker.onerror = () => settle({ problem: "worker" });
  worker.onmessage = ({ data }) => {
    if (data.loaded) progress(Math.min(1, (loaded += data.loaded) / facts.bytes));
    else if (data.full) full();
    else settle(data);
  };
  try {
    await send({ open: facts });
  } catch {
    throw new Problem(navigator.onLine === false ? "offline" : "not_loaded");
  }
  // A question whose answer is known: WebAssembly of some browsers computes wrongly (Safari 16.4 did).
  const { confidences } = await ask(pattern(facts.size)).catch(() => ({ confidences: [] }));
  const right = facts.known.every((share, n) => Math.abs(share - confidences[n]) <= MISTAKE);
  if (!right) throw new Problem("computes_wrongly");
}

function settle({ id, result, problem }) {
  for (const [one, { done, failed }] of open) {
    if (id !== undefined && one !== id) continue;
    open.delete(one);
    if (problem === undefined) done(result);
    else failed(new Error(problem));
  }
}

function send(question) {
  const id = ++count;
  return new Promise((done, failed) => {
    open.set(id, { done, failed });
    worker.postMessage({ id, ...question });
  });
}

/** What the network says of pixels (3, size, size): { confidences: [0..1], familiarity: 0..1 or null }. */
function ask(pixels) {
  return send({ pixels });
}

/** Uint8Array (3, size, size) of noise, the same as export makes it. */
function pattern(size) {
  return Uint8Array.from({ length: 3 * size * size }, (_, n) => Math.imul(n, 2654435761) >>> 24);
}

/**
 * The answer to a source of pixels, as flowers/classifier.py gives it: { ranked: [[name, 0..1]], known, seconds }.
 *
 * `known` is false where the photo is probably none of the classes.
 */
export async function classify(source) {
  const began = performance.now();
  const { confidences, familiarity } = await ask(prepare(source, facts));
  const ranked = facts.classes.map((name, n) => [name, confidences[n]]).sort((one, other) => other[1] - one[1]);
  const known = familiarity === null || facts.unfamiliar_below === null || familiarity >= facts.unfamiliar_below;
  return { ranked, confidences, familiarity, known, seconds: (performance.now() - began) / 1000 };
}

/** The answer to a photo file. For whoever compares this page with Python: flowers/share/page_check.py. */
export async function classifyFile(file) {
  await load();
  const photo = await openPhoto(file);
  try {
    return await classify(photo.source);
  } finally {
    close(photo);
  }
}
