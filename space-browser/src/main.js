// The page: two images in, a worker fuses, slider and download out.
import { luminanceOf, withLuminance } from "./colour.js";
import { asPng, pixelsOf, readImage, sizeOf } from "./images.js";
import { openCamera } from "./webcam.js";

// BT.601, as in maefuse_hf/colour.py; a test holds both against each other
const LUMINANCE = [0.299, 0.587, 0.114];
const NAMES = { infrared: "infrared image", visible: "photo" };
const mayUseGpu = !new URLSearchParams(location.search).has("wasm");
const byId = (id) => document.getElementById(id);
const images = {};
let worker, takeFrame, job;

function say(text, isProblem = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("problem", isProblem);
}

/** Do something whose errors are said on the page. */
function saying(action) {
  return async (...given) => {
    try {
      await action(...given);
    } catch (error) {
      say(error.message, true);
    }
  };
}

function show(kind, bitmap) {
  images[kind] = bitmap;
  const canvas = document.querySelector(`#${kind} canvas`);
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  byId(kind).classList.add("filled");
  byId("fuse").disabled = !(images.infrared && images.visible && !job);
  say(byId("fuse").disabled ? "" : "Ready.");
}

const take = saying(async (kind, file) => show(kind, await readImage(file, NAMES[kind])));

function listen(kind) {
  const area = byId(kind);
  area.querySelector("input").addEventListener("change", ({ target }) => {
    if (target.files.length) take(kind, target.files[0]);
    target.value = "";
  });
  area.addEventListener("dragover", (event) => event.preventDefault());
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) take(kind, event.dataTransfer.files[0]);
  });
}

async function fuse() {
  const { infrared, visible } = images;
  if (sizeOf(infrared) !== sizeOf(visible) && !byId("resize").checked)
    throw new Error(
      `Infrared is ${sizeOf(infrared)} pixels, the photo ${sizeOf(visible)}. If both show the same view, tick ` +
        "“Resize infrared to the photo”.",
    );
  const { width, height } = visible;
  const colours = pixelsOf(visible);
  const [heat, own] = [pixelsOf(infrared, visible), colours].map((pixels) => luminanceOf(pixels, LUMINANCE));
  job = { width, height, colours, own };
  byId("fuse").disabled = true;
  say("Starting …");
  worker ??= await startWorker();
  worker.postMessage({ infrared: heat, visible: own, width, height, mayUseGpu });
}

async function showFused({ fused, provider, seconds }) {
  const { width, height, colours, own } = job;
  const url = URL.createObjectURL(await asPng(withLuminance(colours, own, fused), width, height));
  URL.revokeObjectURL(byId("fused").src);
  byId("fused").src = byId("download").href = url;
  const canvas = byId("against");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").drawImage(images.visible, 0, 0);
  await byId("fused").decode();
  byId("result").hidden = false;
  say(`${width} × ${height} pixels in ${seconds.toFixed(1)} s, ${provider === "webgpu" ? "on the GPU" : "on the processor"}.`);
}

async function startWorker() {
  // what the worker fetches is kept only once the service worker is there; not every page may have one
  await registered;
  const started = new Worker("worker.js", { type: "module" });
  started.onmessage = saying(receive);
  started.onerror = () => say("The model's script could not be started. Load the page again.", true);
  return started;
}

async function receive({ data }) {
  if (data.state) return say(data.state);
  try {
    if (data.error) throw new Error(data.error);
    await showFused(data);
  } finally {
    job = undefined;
    byId("fuse").disabled = false;
  }
}

async function useCamera() {
  if (takeFrame) {
    show("visible", await takeFrame());
    takeFrame = undefined;
  } else takeFrame = await openCamera(byId("camera"));
  byId("visible").classList.toggle("live", Boolean(takeFrame));
  byId("webcam").textContent = takeFrame ? "Take the photo" : "Webcam";
}

async function useExample() {
  for (const kind of ["infrared", "visible"]) {
    const file = await (await fetch(`example-${kind}.png`)).blob();
    show(kind, await readImage(new File([file], `${kind}.png`), NAMES[kind]));
  }
}

Object.keys(NAMES).forEach(listen);
byId("fuse").addEventListener("click", saying(fuse));
byId("webcam").addEventListener("click", saying(useCamera));
byId("example").addEventListener("click", saying(useExample));
byId("slider").addEventListener("input", ({ target }) => byId("compare").style.setProperty("--at", `${target.value}%`));
const registered = navigator.serviceWorker?.register("service-worker.js").then(
  () => navigator.serviceWorker.ready,
  () => undefined, // without it the page works, but only online
);
