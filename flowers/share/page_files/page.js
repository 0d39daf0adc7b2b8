// What happens on the page: photos in, an answer out. The network is in network.js, the camera in camera.js.
import * as camera from "./camera.js";
import { facts, load, classify } from "./network.js";
import { close, openPhoto } from "./photo.js";
import WORDS from "./words.js";

const LISTED = 12; // classes that a sentence names, or an answer has bars for
const CERTAIN = 0.98, SURE = 0.9, PROBABLE = 0.6, MENTIONED = 0.1; // as flowers/studio/words.py has them
const BETWEEN = 150; // milliseconds of rest between two pictures of the camera
const at = (id) => document.getElementById(id);
const [frame, video, shown, answer] = ["frame", "live", "shown", "answer"].map(at);

let photo = null; // the one that is shown
let last = null; // the last answer
let problems = {}; // part of the page -> the key of its sentence
let ready = false, live = false, asking = 0;
let failure = null; // the key of the sentence that says why the network is not here

// Words

let language = remembered("language") ?? (/^zh/i.test(navigator.language) ? "zh-CN" : "en");

function say(key, values = {}) {
  const words = WORDS[language][key] ?? WORDS.en[key];
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

function remembered(name) {
  try {
    return localStorage.getItem(`flowers-page-${name}`);
  } catch {
    return null; // a browser that keeps nothing
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`flowers-page-${name}`, value);
  } catch { /* then it is as before at the next visit */ }
}

/** Put all words of the page in the language that is chosen. */
function speak() {
  document.documentElement.lang = language;
  for (const item of document.querySelectorAll("[data-say]")) item.textContent = say(item.dataset.say);
  for (const item of document.querySelectorAll("[data-label]")) item.setAttribute("aria-label", say(item.dataset.label));
  for (const item of document.querySelectorAll("[data-alt]")) item.alt = say(item.dataset.alt);
  at("language").textContent = say("switch");
  at("language").lang = language === "en" ? "zh-CN" : "en";
  at("about").textContent = say("about", { classes: listed(facts.classes) });
  at("camera").textContent = say(live ? "stop" : "camera");
  for (const where of Object.keys(problems)) tell(where, problems[where]);
  if (last) show(last);
}

function listed(names) {
  const some = names.slice(0, LISTED);
  if (names.length > LISTED) some.push(say("more", { count: names.length - LISTED }));
  const end = some.pop();
  return some.length ? some.join(say("comma")) + say("and") + end : end;
}

/** Say what is wrong in a part of the page ("problem" or "kept"), by the key of its sentence; null: nothing is. */
function tell(where, key) {
  problems[where] = key;
  at(where).textContent = key ? say(key) : "";
  at(where).hidden = !key;
}

/** Say why the network is not here, if so. */
function tellWhyNot() {
  if (failure) tell("problem", failure);
}

/** An answer as a sentence without its full stop, as flowers/studio/words.py makes it. */
function inWords({ ranked, known }) {
  const [[name, first], [other, second]] = [ranked[0], ranked[1] ?? ["", 0]];
  const count = facts.classes.length;
  let how = second >= first / 2 ? "either" : "perhaps";
  if (!known) how = "none";
  else if (first >= CERTAIN) how = "certain";
  else if (first >= SURE) how = "sure";
  else if (first >= PROBABLE) how = second >= MENTIONED ? "probably_or" : "probably";
  const number = WORDS.en[`number.${count}`] ? say(`number.${count}`) : count;
  return say(`words.${how}`, { name: called(name), other: other && called(other), count: number });
}

function called(name) {
  if (!facts.flowers.includes(name.split(" ").pop())) return say("words.quoted", { name });
  return say(/^[aeiou]/i.test(name) ? "words.an" : "words.a", { name });
}

const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}%`;
const duration = (seconds) => (seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`);

// The answer

function show(given) {
  last = given;
  const [[name, first]] = given.ranked;
  at("words").textContent = inWords(given);
  at("sub").textContent = given.known
    ? say("confident", { share: percent(first) }) : say("unlike", { name: called(name) });
  at("bars").replaceChildren(...given.ranked.slice(0, LISTED).map(bar));
  const right = facts.accuracy === null ? "" : ` · ${say("right", { share: percent(facts.accuracy) })}`;
  at("facts").textContent = say("facts", { time: duration(given.seconds), name: facts.name }) + right;
  at("waiting").hidden = true;
  answer.hidden = false;
}

function bar([name, share], place) {
  const item = document.createElement("li"), fill = document.createElement("span");
  item.className = place ? "" : "top";
  fill.className = "fill";
  fill.style.width = percent(share);
  const parts = [["name", name], ["track", fill], ["share", percent(share)]].map(([part, content]) => {
    const element = document.createElement("span");
    element.className = part;
    element.append(content);
    return element;
  });
  parts[1].setAttribute("aria-hidden", "true");
  item.append(...parts);
  return item;
}

// A photo

async function see(file) {
  if (!file) return;
  stopCamera();
  const mine = ++asking;
  tell("problem", null);
  let opened = null;
  try {
    opened = await openPhoto(file);
    if (mine !== asking) return close(opened); // another was chosen meanwhile
    close(photo);
    photo = opened;
    shown.src = photo.picture.src;
    display(shown);
    await loaded;
    if (mine !== asking || !ready) return tellWhyNot();
    answer.setAttribute("aria-busy", "true");
    await painted(); // so that the photo is seen before the work begins
    const given = await classify(opened.source);
    if (mine === asking) show(given);
  } catch (error) {
    if (mine !== asking) return;
    answer.hidden = true;
    last = null;
    tell("problem", `problem.${error.words ?? (error instanceof RangeError ? "memory" : "not_answered")}`);
  } finally {
    if (mine === asking) answer.removeAttribute("aria-busy");
  }
}

const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

/** Show one of what the frame may hold. */
function display(chosen) {
  for (const item of [at("empty"), shown, video]) item.hidden = item !== chosen;
}

// The camera

async function startCamera(turned = false) {
  const mine = ++asking;
  tell("problem", null);
  try {
    if (!(await camera.start(video, turned))) return stopCamera();
    if (mine !== asking) return stopCamera();
  } catch (error) {
    stopCamera();
    tell("problem", `problem.${error.words ?? "busy"}`);
    if (error.words === "insecure") at("snap").click(); // the phone's own camera, for one photo, is given anywhere
    return;
  }
  setLive(true);
  at("turn").hidden = !(await camera.hasOther());
  await loaded;
  tellWhyNot();
  while (live && ready && mine === asking) {
    const source = camera.look(video);
    try {
      if (source) {
        const given = await classify(source);
        if (live && mine === asking) show(given);
      }
    } catch {
      stopCamera();
      return tell("problem", "problem.not_answered");
    }
    await new Promise((done) => setTimeout(done, BETWEEN));
  }
}

function stopCamera() {
  camera.stop(video);
  setLive(false);
}

function setLive(on) {
  if (live && !on) asking++; // no answer to a picture of before comes after it
  live = on;
  at("camera").textContent = say(on ? "stop" : "camera");
  at("camera").setAttribute("aria-pressed", on);
  if (!on) at("turn").hidden = true;
  answer.setAttribute("aria-live", on ? "off" : "polite"); // who listens would hear nothing else
  if (on) display(video);
  else if (!video.hidden) display(photo ? shown : at("empty"));
}

at("camera").addEventListener("click", () => (live ? stopCamera() : startCamera()));
at("turn").addEventListener("click", () => startCamera(true));
// Nobody sees it: the light goes off. Both, for Safari tells of a closed page by the second alone.
document.addEventListener("visibilitychange", () => document.hidden && stopCamera());
window.addEventListener("pagehide", stopCamera);

// Photos come by the file chooser, by a drop anywhere, and by pasting

for (const chooser of [at("file"), at("snap")]) {
  chooser.addEventListener("change", () => {
    see(chooser.files[0]);
    chooser.value = ""; // the same photo may be chosen again
  });
}
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  frame.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) frame.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  frame.classList.remove("over");
  see(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => see(event.clipboardData.files[0]));

// The page

at("language").addEventListener("click", () => {
  language = language === "en" ? "zh-CN" : "en";
  remember("language", language);
  speak();
});
at("dark").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  document.documentElement.className = dark ? "light" : "dark";
  remember("dark", document.documentElement.className);
});

document.documentElement.dataset.started = "";
speak();
let kept = true;
const loaded = load((share) => (at("loading-bar").value = share), () => (kept = false)).then(
  () => {
    ready = true;
    at("waiting").hidden = last !== null;
  },
  (error) => {
    failure = `problem.${error.words ?? "not_loaded"}`;
    tellWhyNot();
  },
);
loaded.then(() => {
  at("loading").hidden = true;
  document.documentElement.dataset.ready = ready;
  if (ready) keep();
});

/** Have the browser keep the page for when there is no network, and say whether it does. */
async function keep() {
  if (!("serviceWorker" in navigator)) return window.isSecureContext && tell("kept", "problem.not_kept");
  try {
    const registration = await navigator.serviceWorker.register("offline.js");
    const worker = registration.installing ?? registration.waiting ?? registration.active;
    while (!["activated", "redundant"].includes(worker.state)) {
      await new Promise((done) => worker.addEventListener("statechange", done, { once: true }));
    }
    kept = kept && (worker.state === "activated" || Boolean(registration.active));
    tell("kept", kept ? "kept" : "problem.full");
  } catch {
    tell("kept", "problem.not_kept");
  }
}
