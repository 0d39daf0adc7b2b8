// The network, beside the page: so the page can be scrolled and pressed while it computes.
//
// Gets { id, open: facts } once and then { id, pixels }; gives { id, result } or { id, problem }, and on the way
// { loaded } (bytes) and { full: true } where the browser has no room to keep a file.
importScripts("ort/ort.wasm-core.min.js");

const NETWORK = "network.onnx", RUNTIME = "ort-wasm-simd.wasm";
let session = null, facts = null, turn = Promise.resolve();

onmessage = ({ data: { id, open, pixels } }) => {
  turn = turn.then(async () => {
    try {
      postMessage({ id, result: open ? await start(open) : await ask(pixels) });
    } catch (error) {
      postMessage({ id, problem: String(error?.message ?? error) });
    }
  });
};

async function start(told) {
  facts = told;
  const [runtime, network] = [await load(`ort/${RUNTIME}`, "application/wasm"), await load(NETWORK)];
  ort.env.wasm.numThreads = 1; // more would need headers that most hosts do not send
  ort.env.wasm.wasmPaths = { [RUNTIME]: URL.createObjectURL(runtime) };
  session = await ort.InferenceSession.create(new Uint8Array(await network.arrayBuffer()), {
    executionProviders: ["wasm"],
  });
  return null;
}

async function ask(pixels) {
  const input = new ort.Tensor("uint8", pixels, [1, 3, facts.size, facts.size]);
  const outputs = await session.run({ pixels: input });
  return {
    confidences: Array.from(outputs.confidences.data),
    familiarity: outputs.familiarity ? outputs.familiarity.data[0] : null,
  };
}

/** A large file as a Blob, from what the browser has kept, else from the page's own place; kept from then on. */
async function load(name, type = "application/octet-stream") {
  const url = new URL(name, location.href).href;
  const cache = await self.caches?.open(facts.cache).catch(() => null);
  const kept = await cache?.match(url);
  const response = kept ?? (await fetch(url, { cache: "no-cache" }));
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  const parts = [], reader = response.body.getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    parts.push(piece.value);
    postMessage({ loaded: piece.value.length });
  }
  const blob = new Blob(parts, { type });
  if (cache && !kept) await cache.put(url, new Response(blob)).catch(() => postMessage({ full: true }));
  return blob;
}
