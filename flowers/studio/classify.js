// Runs once, with the strip of recent answers. `element`, `props`, `trigger` and `watch` are Gradio's.

// One drop zone for one photo or many. Gradio's image takes one, its upload button many: files go where they belong.
const zone = document.getElementById("classify-see");
const single = () => zone.querySelector("#classify-photo input[type=file]");
const many = () => zone.querySelector("input[data-testid$=upload-button]");
const status = () => document.getElementById("classify-sending");

const isPhoto = (file) => file.type.startsWith("image/");
// Browsers tell a file's type by its ending, and know few; Gradio believes them. The server looks at the first bytes.
const asPhoto = (file) => (isPhoto(file) ? file : new File([file], file.name, { type: "image/jpeg" }));

function send(files) {
  if (files.length === 1) return putFiles(single(), files.map(asPhoto));
  status().textContent = props.sending.replace("{count}", Math.min(files.length, props.limit));
  putFiles(many(), files.slice(0, props.limit + 1)); // one more than allowed, so that the server can tell
}

zone.addEventListener("click", (event) => {
  if (event.target.type !== "file") return; // before the browser opens its window:
  event.target.multiple = true;
  event.target.accept = ""; // "image/*" hides photos of types that the browser does not know
}, true);

zone.addEventListener("change", (event) => {
  const { target } = event;
  if (target === single() && (target.files.length > 1 || ![...target.files].every(isPhoto))) {
    event.stopImmediatePropagation();
    send([...target.files]);
    target.value = "";
  }
}, true);

zone.addEventListener("dragover", (event) => event.preventDefault());
zone.addEventListener("drop", async (event) => {
  const files = [...(event.dataTransfer?.files ?? [])];
  if (!files.length || !single()) return;
  const folders = droppedFolders(event.dataTransfer);
  event.preventDefault();
  event.stopImmediatePropagation();
  event.target.dispatchEvent(new DragEvent("drop", { bubbles: true })); // nothing dropped: Gradio's zone looks idle again
  send(folders ? (await folders).map(({ file }) => file) : files);
}, true);

document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  const typing = event.target.closest?.("input:not([type=file]), textarea, [contenteditable=true]");
  if (!files.length || typing || !zone.checkVisibility() || !single()) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  send(files);
}, true);

// The last answers, in this browser alone: newest first, a photo once.
const KEY = "flowers_recent";
const list = element.querySelector("ul");

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => one && typeof one.words === "string") : [];
  } catch { // not ours, or no storage here
    return [];
  }
}

function keep(answers) {
  try {
    localStorage.setItem(KEY, JSON.stringify(answers));
  } catch { /* private browsing: the strip lasts as long as the page */ }
  draw(answers);
}

function when(time) {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  const language = document.documentElement.lang;
  return today
    ? date.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString(language, { day: "numeric", month: "short" });
}

function draw(answers) {
  element.querySelector("section").hidden = !answers.length;
  list.replaceChildren(...answers.map((one) => {
    const [item, button, picture, words, time] = ["li", "button", "img", "span", "time"].map((t) => document.createElement(t));
    button.type = "button";
    if (/^data:image\/jpeg;base64,/.test(one.thumb)) picture.src = one.thumb;
    picture.alt = "";
    words.textContent = one.words;
    time.textContent = when(one.time);
    button.append(picture, words, time);
    button.addEventListener("click", () => {
      trigger("select", one);
      zone.scrollIntoView({ block: "nearest" });
    });
    item.append(button);
    return item;
  }));
}

watch("value", () => {
  if (!props.value) return;
  const one = { ...JSON.parse(props.value), time: Date.now() };
  keep([one, ...read().filter((other) => other.path !== one.path)].slice(0, props.count));
});
element.querySelector(".clear").addEventListener("click", () => keep([]));
window.addEventListener("storage", (event) => event.key === KEY && draw(read())); // another window of this browser
draw(read());
