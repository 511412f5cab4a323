// Luminance of BT.601, as maefuse_hf/colour.py has it. Pixels are RGBA bytes, luminance is a Float32Array in [0, 1].
const WHITE = 255;

/** Y = G + r (R - G) + b (B - G): in this form grey keeps its own value exactly. */
export function luminanceOf(pixels, [red, , blue]) {
  const luminance = new Float32Array(pixels.length / 4);
  for (let place = 0; place < luminance.length; place++) {
    const [r, g, b] = [pixels[4 * place], pixels[4 * place + 1], pixels[4 * place + 2]];
    luminance[place] = (g + red * (r - g) + blue * (b - g)) / WHITE;
  }
  return luminance;
}

/** The pixels with another luminance: the same step for R, G and B keeps Cb and Cr. Bytes are rounded and clipped. */
export function withLuminance(pixels, own, wanted) {
  const result = new Uint8ClampedArray(pixels.length);
  for (let place = 0; place < own.length; place++) {
    const step = (wanted[place] - own[place]) * WHITE;
    for (let channel = 0; channel < 3; channel++)
      result[4 * place + channel] = pixels[4 * place + channel] + step;
    result[4 * place + 3] = WHITE;
  }
  return result;
}
