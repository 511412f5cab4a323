// `npm run build -- FOLDER`: the page with its scripts bundled, and onnxruntime's WebAssembly beside it.
import { cp, mkdir, readFile } from "node:fs/promises";
import { basename } from "node:path";
import { build } from "esbuild";

const folder = process.argv[2];
if (!folder) throw new Error("Name the folder to write to: npm run build -- FOLDER");
const runtime = "node_modules/onnxruntime-web/dist";
const kinds = ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.asyncify"]; // without and with WebGPU
const { version } = JSON.parse(await readFile("node_modules/onnxruntime-web/package.json", "utf8"));

await mkdir(folder, { recursive: true });
const { metafile } = await build({
  entryPoints: ["src/main.js", "src/worker.js"],
  outdir: folder,
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  minify: true,
  metafile: true,
  legalComments: "linked",
  conditions: ["onnxruntime-web-use-extern-wasm"],
  logLevel: "warning",
});
const scripts = Object.keys(metafile.outputs).map((path) => basename(path)).filter((name) => name.endsWith(".js"));
await build({
  entryPoints: ["src/service-worker.js"],
  outdir: folder,
  bundle: true,
  format: "iife",
  define: {
    CACHE: JSON.stringify(`maefuse-${version}-${Date.now()}`),
    FILES: JSON.stringify(["./", "style.css", ...scripts]),
  },
  logLevel: "warning",
});
for (const kind of kinds)
  for (const ending of ["mjs", "wasm"]) await cp(`${runtime}/${kind}.${ending}`, `${folder}/${kind}.${ending}`);
for (const file of ["index.html", "style.css", "README.md"]) await cp(file, `${folder}/${file}`);
