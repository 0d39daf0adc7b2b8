// The service worker: keeps the page's files in the browser, so that it opens without a network; and lets nothing else
// through, whoever asks.
const VERSION = "{{version}}"; // of the files below; another one makes browsers fetch them anew
const FILES = {{files}};
const HERE = registration.scope, CACHE = `flowers-page ${HERE} ${VERSION}`;

addEventListener("install", (event) => event.waitUntil(fill().then(() => skipWaiting())));
addEventListener("activate", (event) => event.waitUntil(forgetOld().then(() => clients.claim())));
addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function fill() {
  const cache = await caches.open(CACHE);
  for (const name of FILES) {
    if (await cache.match(name)) continue; // the large ones: worker.js has kept them on the way
    const response = await fetch(name, { cache: "reload" });
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    // A page may not be opened with what came from another address, as some hosts send index.html.
    await cache.put(name, response.redirected ? new Response(response.body, { headers: response.headers }) : response);
  }
}

async function forgetOld() {
  const old = (await caches.keys()).filter((name) => name.startsWith(`flowers-page ${HERE} `) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function answer(request) {
  if (!request.url.startsWith(HERE)) return request.url.startsWith("blob:") ? fetch(request) : Response.error();
  const cache = await caches.open(CACHE);
  const wanted = request.url.replace(/[?#].*/, "");
  return (await cache.match(wanted === HERE ? "index.html" : wanted)) ?? fetch(request);
}
