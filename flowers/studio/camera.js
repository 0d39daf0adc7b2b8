// A burst from the camera: ten photos in three seconds, sent together as data URLs. Gradio calls this with `element`,
// which holds the markup of photos.py, and `trigger`.
const BURST = 10, EVERY = 300, SIDE = 640; // photos, milliseconds, pixels of the longer side
const find = (name) => element.querySelector(`[data-camera="${name}"]`);
const [open, view, video, take, close, said] = ["open", "view", "video", "take", "close", "said"].map(find);
const canvas = document.createElement("canvas");
let taking = false, asking = false;

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

function show(on) {
  view.hidden = !on;
  open.hidden = on;
  open.setAttribute("aria-expanded", on);
}

function stop() {
  taking = false;
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  show(false);
  open.focus();
}

function photo() {
  const scale = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.9);
}

open.addEventListener("click", async () => {
  if (asking) return; // a second stream would never be stopped
  asking = true;
  said.textContent = "";
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    said.textContent = said.dataset.none;
    return;
  } finally {
    asking = false;
  }
  if (!element.checkVisibility()) return stop(); // who was asked has gone to another tab meanwhile
  show(true);
  await video.play();
  take.focus();
});

take.addEventListener("click", async () => {
  const name = document.querySelector("#photos-into input");
  if (taking) {
    taking = false; // what has been taken is sent
    return;
  }
  if (!name.value.trim()) {
    said.textContent = said.dataset.name;
    name.focus();
    return;
  }
  taking = true;
  take.textContent = take.dataset.stop;
  const photos = [];
  while (taking && video.srcObject && photos.length < BURST) {
    photos.push(photo());
    said.textContent = said.dataset.taking.replace("{count}", photos.length);
    await wait(EVERY);
  }
  taking = false;
  take.textContent = take.dataset.take;
  said.textContent = "";
  trigger("burst", { photos });
});

close.addEventListener("click", stop);
// Who goes to another tab no longer sees the camera, which then must not go on.
new ResizeObserver(() => {
  if (video.srcObject && !element.checkVisibility()) stop();
}).observe(element);
