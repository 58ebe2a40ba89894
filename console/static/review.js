// Keys of the review page: j and k move through the queue, y confirms, n rejects, u leaves open, e goes to the note.
"use strict";
(() => {
  const items = () => [...document.querySelectorAll("#queue a[data-key]")];
  const shown = () => document.querySelector("#panel [data-track]")?.dataset.track;
  function mark() {
    for (const item of items()) {
      if (item.dataset.key === shown()) { item.setAttribute("aria-current", "true"); item.scrollIntoView({ block: "nearest", inline: "nearest" }); }
      else item.removeAttribute("aria-current");
    }
    const form = document.querySelector("#panel form.decide");
    if (form) {
      const all = items().map((item) => item.dataset.key);
      form.elements.following.value = all[all.indexOf(shown()) + 1] || "";
    }
  }
  function go(by) {
    const all = items();
    const at = all.findIndex((item) => item.dataset.key === shown());
    all[Math.min(all.length - 1, Math.max(0, at + by))]?.click();
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, textarea, select");
    if (typing) { if (event.key === "Escape") typing.blur(); return; }
    const form = document.querySelector("#panel form.decide");
    const verdict = { y: "confirmed", n: "rejected", u: "open" }[event.key];
    if (event.key === "j" || event.key === "k") { event.preventDefault(); go(event.key === "j" ? 1 : -1); }
    else if (event.key === "e" && form) { event.preventDefault(); form.elements.note.focus(); }
    else if (verdict && form && !form.dataset.sent) {
      event.preventDefault();
      form.dataset.sent = "1";
      form.querySelector(`button[value="${verdict}"]`).click();
    }
  });
  document.addEventListener("htmx:responseError", () => { const form = document.querySelector("#panel form.decide"); if (form) delete form.dataset.sent; });
  document.addEventListener("htmx:afterSettle", mark);
  document.addEventListener("DOMContentLoaded", mark);
  if (document.readyState !== "loading") mark();
})();
