// The model, away from the page's own thread. In: {infrared, visible} luminance, {width, height}, and whether the GPU
// may be used. Out: {fused} or {error}; {state} in between.
const SETTINGS = "maefuse_onnx.json";
let loaded;

/** Where the model runs: WebGPU where there is an adapter that can, else WebAssembly. */
async function chooseRuntime(precision, mayUseGpu) {
  const adapter = mayUseGpu && (await navigator.gpu?.requestAdapter().catch(() => null));
  if (adapter && (precision !== "float16" || adapter.features.has("shader-f16")))
    return { ort: await import("onnxruntime-web/webgpu"), provider: "webgpu" };
  return { ort: await import("onnxruntime-web/wasm"), provider: "wasm" };
}

async function fetched(name) {
  const response = await fetch(new URL(name, self.location)).catch(() => null);
  if (!response?.ok)
    throw new Error(`${name} could not be loaded. Build the page anew with \`maefuse export browser\`, or go online once.`);
  return response;
}

async function load(mayUseGpu) {
  const settings = await (await fetched(SETTINGS)).json();
  const [[precision, file]] = Object.entries(settings.files);
  postMessage({ state: "Loading the model …" });
  const bytes = new Uint8Array(await (await fetched(file)).arrayBuffer());
  const { ort, provider } = await chooseRuntime(precision, mayUseGpu);
  ort.env.wasm.wasmPaths = new URL(".", self.location).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(bytes, { executionProviders: [provider] }).catch((error) => {
    const wayOut = provider === "webgpu" ? " Add ?wasm to the page's address to fuse on the processor." : "";
    throw new Error(`The model cannot be run here (${error.message}).${wayOut}`);
  });
  return { ort, session, settings, provider };
}

self.onmessage = async ({ data: { infrared, visible, width, height, mayUseGpu } }) => {
  try {
    const { ort, session, settings, provider } = await (loaded ??= load(mayUseGpu));
    postMessage({ state: provider === "webgpu" ? "Fusing on the GPU …" : "Fusing on the processor, without WebGPU …" });
    const started = performance.now();
    const tensors = [infrared, visible].map((values) => new ort.Tensor("float32", values, [1, 1, height, width]));
    const outputs = await session.run(Object.fromEntries(settings.inputs.map((name, place) => [name, tensors[place]])));
    const fused = await outputs[settings.output].getData();
    postMessage({ fused, provider, seconds: (performance.now() - started) / 1000 });
  } catch (error) {
    loaded = undefined;
    const memory = /memory|allocat|bad_alloc|Aborted/i.test(error.message);
    postMessage({ error: memory ? "The images need more memory than the browser gives. Make both smaller." : error.message });
  }
};
