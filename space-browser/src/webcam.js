// One frame of a camera.
/** Show the camera in a `<video>`; gives a function that takes a frame as a bitmap and ends it. */
export async function openCamera(video) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
  } catch (error) {
    throw new Error(`The camera cannot be used (${error.name}). Allow it for this page, or choose a file.`);
  }
  video.srcObject = stream;
  await video.play();
  return async () => {
    const frame = await createImageBitmap(video);
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    return frame;
  };
}
