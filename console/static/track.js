// Draws the track's box over the current frame of the video.
"use strict";
(() => {
  const video = document.getElementById("video");
  const over = document.getElementById("over");
  if (!video || !over) return;
  const GAP_S = 0.6; // seconds; in a gap of more than twice this, the box is only drawn within this time of a detection
  let boxes = [];
  fetch(video.dataset.path).then((answer) => (answer.ok ? answer.json() : { boxes: [] })).then((found) => { boxes = found.boxes; draw(video.currentTime); });

  function boxAt(time) {
    let low = 0, high = boxes.length - 1;
    if (high < 0 || time < boxes[0][0] - GAP_S || time > boxes[high][0] + GAP_S) return null;
    while (low < high) { const middle = (low + high + 1) >> 1; if (boxes[middle][0] <= time) low = middle; else high = middle - 1; }
    const before = boxes[low], after = boxes[Math.min(low + 1, boxes.length - 1)];
    const gap = after[0] - before[0];
    if (time < before[0] || gap <= 0) return before.slice(1);
    if (gap > 2 * GAP_S) return time - before[0] < GAP_S ? before.slice(1) : after[0] - time < GAP_S ? after.slice(1) : null;
    const share = Math.min(1, Math.max(0, (time - before[0]) / gap));
    return [1, 2, 3, 4].map((side) => before[side] + share * (after[side] - before[side]));
  }

  function draw(time) {
    if (!video.videoWidth) return;
    if (over.width !== video.videoWidth) { over.width = video.videoWidth; over.height = video.videoHeight; }
    const pen = over.getContext("2d");
    pen.clearRect(0, 0, over.width, over.height);
    const box = boxAt(time);
    over.dataset.box = box ? box.map((side) => side.toFixed(1)).join(" ") : "";
    if (!box) return;
    const margin = Math.max(4, 0.15 * (box[2] - box[0]));
    const line = Math.max(2, over.width / 320);
    for (const [colour, width] of [["#000", 2 * line], ["#ffd21f", line]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.strokeRect(box[0] - margin, box[1] - margin, box[2] - box[0] + 2 * margin, box[3] - box[1] + 2 * margin);
    }
  }

  const follow = () => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback((now, frame) => { draw(frame.mediaTime); follow(); });
    else { draw(video.currentTime); requestAnimationFrame(follow); }
  };
  const seek = (at) => { video.pause(); video.currentTime = Math.max(0, at); };
  video.addEventListener("loadedmetadata", () => seek(Number(video.dataset.at)));
  if (video.readyState >= 1) seek(Number(video.dataset.at));
  video.addEventListener("seeked", () => draw(video.currentTime));
  follow();
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-seek], [data-step]");
    if (!button) return;
    if (button.dataset.step) seek(video.currentTime + Number(button.dataset.step) / 15);
    else seek(Number(button.dataset.at ?? video.dataset.at));
  });
})();
