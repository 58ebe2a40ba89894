// A photo with several faces: a click on a box chooses its face, like the list next to it.
"use strict";
document.addEventListener("click", (event) => {
  const box = event.target.closest("[data-chooser] rect[data-face]");
  if (!box) return;
  const option = box.closest("[data-chooser]").querySelector(`input[type="radio"][value="${box.dataset.face}"]`);
  if (!option) return;
  option.checked = true;
  option.dispatchEvent(new Event("change", { bubbles: true }));
  option.focus({ preventScroll: true });
});
document.addEventListener("change", (event) => {
  const chooser = event.target.closest("[data-chooser]");
  if (!chooser || event.target.type !== "radio") return;
  for (const box of chooser.querySelectorAll("rect[data-face]")) box.classList.toggle("chosen", box.dataset.face === event.target.value);
});
