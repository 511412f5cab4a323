// Files and cameras to pixels, and back. What cannot be used is an error that says what to do.
const PNG = [0x89, 0x50, 0x4e, 0x47];
const PNG_DEPTH_AT = 24;
export const MOST_PIXELS = 3840 * 2160;

/** The image in a file, upright, in sRGB; `name` is what errors call it. */
export async function readImage(file, name) {
  const head = new Uint8Array(await file.slice(0, PNG_DEPTH_AT + 1).arrayBuffer());
  if (PNG.every((byte, place) => head[place] === byte) && head[PNG_DEPTH_AT] > 8)
    throw new Error(
      `The ${name} has ${head[PNG_DEPTH_AT]} bits, of which a browser keeps 8. Fuse it with the command ` +
        "`maefuse fuse`, or save it with 8 bits.",
    );
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { premultiplyAlpha: "none" });
  } catch {
    throw new Error(`The ${name} is no image that this browser reads: ${file.name}. Give a PNG, JPEG or WebP.`);
  }
  if (bitmap.width * bitmap.height > MOST_PIXELS)
    throw new Error(
      `The ${name} is ${sizeOf(bitmap)} pixels; the page takes ${MOST_PIXELS / 1e6} million. Make it smaller, or ` +
        "fuse it with the command `maefuse fuse`.",
    );
  return bitmap;
}

/** RGBA bytes of a bitmap or canvas, stretched to `size` where it has another. */
export function pixelsOf(image, { width, height } = image) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

/** Pixels as a lossless PNG. */
export function asPng(pixels, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** "640 × 480". */
export const sizeOf = ({ width, height }) => `${width} × ${height}`;
