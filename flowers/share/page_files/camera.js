// The camera: one stream at a time, off whenever nobody can see it.
import { Problem, sourceOf } from "./photo.js";

const WIDTH = 1280; // pixels that are asked for: more would cost the phone's battery, and the network sees few
let facing = "environment"; // what is before the phone, not who holds it
let stream = null;

/** Show the camera in a <video>; with `turned` the other one. Rejects with a Problem. */
export async function start(video, turned = false) {
  if (!window.isSecureContext) throw new Problem("insecure");
  if (!navigator.mediaDevices?.getUserMedia) throw new Problem("no_camera");
  stop(video); // Android has one camera on at a time
  const wanted = turned ? { environment: "user", user: "environment" }[facing] : facing;
  let asked;
  try {
    asked = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: { ideal: wanted }, width: { ideal: WIDTH } }, audio: false,
    });
  } catch (error) {
    const known = { NotFoundError: "no_camera", OverconstrainedError: "no_camera" };
    throw new Problem(known[error.name] ?? (/NotAllowed|Security/.test(error.name) ? "refused" : "busy"));
  }
  if (document.hidden) { // who was asked has gone elsewhere meanwhile
    asked.getTracks().forEach((track) => track.stop());
    return false;
  }
  stream = asked;
  facing = wanted;
  video.srcObject = stream;
  video.classList.toggle("mirrored", facing === "user"); // as a mirror shows it; what is asked about is not mirrored
  await video.play().catch(() => {}); // a page that is stopped at once, or a browser that starts it by itself
  return true;
}

/** Turn the camera off, and its light. */
export function stop(video) {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  video.srcObject = null;
}

/** Whether there is another one to turn to. Known only once a camera was allowed. */
export async function hasOther() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind }) => kind === "videoinput").length > 1;
}

/** What the camera sees now, as a source of pixels; null before its first picture. */
export function look(video) {
  return stream && video.videoWidth ? sourceOf(video, video.videoWidth, video.videoHeight) : null;
}
