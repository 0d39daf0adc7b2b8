// Answers that follow the camera. Gradio calls this with `element`, which holds the markup of live.py; `props.value` is
// the checkpoint that answers, and `watch` tells when it is another one.
const SIDE = 256, EVERY = 120, AGAIN = 400, WHY_EVERY = 800; // pixels of a frame's short side; milliseconds
const find = (name) => element.querySelector(`[data-live="${name}"]`);
const [open, choose, view, video, heat, why, shoot, turn, close, said] =
  ["open", "choose", "view", "video", "heat", "why", "shoot", "turn", "close", "said"].map(find);
const card = () => document.getElementById("classify-live-card"); // where answers stand, beside the picture; drawn later
const single = () => document.querySelector("#classify-photo input[type=file]");
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const isSeen = () => !document.hidden && element.checkVisibility();
let stream = null, facing = "environment", asking = false, state = "", looked = 0;

function tell(problem) {
  said.textContent = problem ? said.dataset[problem] ?? problem : "";
}

function show(on) {
  view.hidden = !on;
  element.toggleAttribute("data-on", on);
  document.getElementById("classify").toggleAttribute("data-live", on);
  heat.hidden = true;
  if (!on) card().replaceChildren();
}

function letGo() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = video.srcObject = null;
}

function stop() {
  if (!stream) return;
  const focused = view.contains(document.activeElement);
  letGo();
  show(false);
  if (focused) open.focus();
}

async function start(wanted) {
  if (asking) return; // a second stream would never be stopped
  asking = true;
  tell("");
  try {
    if (!navigator.mediaDevices?.getUserMedia) return tell(window.isSecureContext ? "none" : "insecure");
    letGo(); // a phone has one camera on at a time
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: { ideal: wanted } }, audio: false });
  } catch (error) {
    show(false);
    const missing = ["NotFoundError", "OverconstrainedError"].includes(error.name);
    return tell(missing ? "none" : /NotAllowed|Security/.test(error.name) ? "refused" : "busy");
  } finally {
    asking = false;
  }
  if (!isSeen()) return letGo(); // who was asked has gone elsewhere meanwhile
  facing = wanted;
  state = "";
  for (const track of stream.getTracks()) track.addEventListener("ended", () => (stop(), tell("unplugged")));
  video.srcObject = stream;
  view.classList.toggle("mirrored", facing === "user"); // as a mirror shows it; what is asked about is not mirrored
  show(true);
  await video.play().catch(() => {});
  shoot.focus();
  const devices = await navigator.mediaDevices.enumerateDevices();
  turn.hidden = devices.filter(({ kind }) => kind === "videoinput").length < 2;
  follow(stream);
}

/** What the camera sees now as a JPEG: its short side has `side` pixels, or as many as it has. */
async function frame(side, quality) {
  const scale = Math.min(1, side / Math.min(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  const drawing = canvas.getContext("2d");
  drawing.imageSmoothingQuality = "high";
  drawing.drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}

/** Ask about one frame after the other, always the newest, as long as this stream is on. */
async function follow(mine) {
  while (stream === mine) {
    const began = performance.now();
    const pause = isSeen() && video.videoWidth ? await ask(mine) : EVERY;
    await wait(Math.max(pause, EVERY - (performance.now() - began)));
  }
}

/** Show the answer to what is seen now; how long to wait at least before the next, in milliseconds. */
async function ask(mine) {
  const asked = new URLSearchParams({ checkpoint: props.value ?? "" });
  if (why.checked && performance.now() - looked > WHY_EVERY) {
    asked.set("why", "1");
    looked = performance.now();
  }
  try {
    const sent = new Blob([`${state}\n`, await frame(SIDE, 0.85)]);
    const answer = await fetch(`.${element.querySelector("[data-path]").dataset.path}?${asked}`, { method: "POST", body: sent });
    const told = await answer.json();
    if (stream !== mine) return 0;
    if (answer.status === 429) return AGAIN; // others are answered meanwhile
    tell(answer.ok ? "" : told.problem ?? told.error ?? "away");
    if (!answer.ok) return AGAIN;
    state = told.state;
    draw(told);
    return 0;
  } catch { // the studio does not answer, or not in time
    if (stream === mine) tell("away");
    return AGAIN;
  }
}

function draw(told) {
  card().innerHTML = told.card;
  card().querySelector(".answer")?.removeAttribute("aria-live"); // five times a second would be no help
  heat.hidden = !why.checked || !(told.heat || heat.src);
  if (!told.heat || !why.checked) return;
  const [left, top, right, bottom] = told.box.map((share) => `${100 * share}%`);
  heat.src = told.heat;
  Object.assign(heat.style, { left, top, width: `calc(${right} - ${left})`, height: `calc(${bottom} - ${top})` });
}

/** The field for one photo, once there is one: none is while a photo is shown. */
async function field() {
  if (!single()) document.querySelector("#classify-photo [aria-label='Remove Image']")?.click();
  for (let tries = 0; tries < 100 && !single(); tries++) await wait(20);
  return single();
}

choose.addEventListener("click", async () => (stop(), (await field())?.click()));
open.addEventListener("click", () => start(facing));
turn.addEventListener("click", () => start(facing === "user" ? "environment" : "user"));
close.addEventListener("click", stop);
why.addEventListener("change", () => {
  looked = 0;
  heat.removeAttribute("src");
  heat.hidden = true;
});
// The frame becomes the photo of this tab: answered in full, with its reasons, and to be filed under a class.
shoot.addEventListener("click", async () => {
  if (!stream || !video.videoWidth) return;
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  const photo = new File([await frame(Infinity, 0.92)], `camera ${stamp}.jpg`, { type: "image/jpeg" });
  stop();
  putFiles(await field(), [photo]);
});
watch("value", () => (state = "")); // another checkpoint's
// Who goes to another tab, of the page or of the browser, no longer sees the camera, which then must not go on.
const rest = () => stream && !isSeen() && stop();
new ResizeObserver(rest).observe(element);
document.addEventListener("visibilitychange", rest);
window.addEventListener("pagehide", stop);
