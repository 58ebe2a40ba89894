// Shared by all pages: colour theme, dates in the reader's time zone, toasts, dialogs, and the CSRF token of each request.
"use strict";

const root = document.documentElement;
const csrf = () => document.querySelector('meta[name="csrf"]')?.content || "";

/* ---------- theme: the chosen one, else the system's ---------- */
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-switch]")) return;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* private windows may have no storage */ }
});

/* ---------- dates: <time datetime> in the chosen language and zone ---------- */
const language = root.dataset.language || undefined;
const zone = root.dataset.zone || undefined;
function formatter(options) {
  try { return new Intl.DateTimeFormat(language, { ...options, timeZone: zone }); } catch { return new Intl.DateTimeFormat(undefined, options); }
}
const FORMATS = {
  full: formatter({ dateStyle: "medium", timeStyle: "medium" }),
  minute: formatter({ dateStyle: "medium", timeStyle: "short" }),
  day: formatter({ dateStyle: "medium" }),
  clock: formatter({ timeStyle: "medium" }),
};
function showTimes(within) {
  for (const element of within.querySelectorAll("time[data-show]:not([data-shown])")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    element.title = element.dateTime;
    element.textContent = FORMATS[element.dataset.show].format(at);
    element.dataset.shown = "";
  }
}

/* ---------- toasts ---------- */
function toast(text, bad = false) {
  const place = document.querySelector(".toasts");
  if (!place || !text) return;
  const item = document.createElement("div");
  item.className = bad ? "toast bad" : "toast";
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => item.remove());
  item.append(words, close);
  place.append(item);
  if (!bad) setTimeout(() => item.remove(), 6000);
}
window.toast = toast;

/* ---------- htmx: CSRF token, errors, toasts, dates ---------- */
document.addEventListener("htmx:configRequest", (event) => { event.detail.headers["X-CSRF-Token"] = csrf(); });
document.addEventListener("htmx:responseError", (event) => {
  const answer = event.detail.xhr;
  let text = `The server answered ${answer.status}.`;
  try { const problem = JSON.parse(answer.responseText); text = problem.detail || problem.title || text; } catch {
    const found = /<p[^>]*data-error[^>]*>([^<]+)/.exec(answer.responseText || "");
    if (found) text = new DOMParser().parseFromString(found[1], "text/html").body.textContent;
  }
  toast(text, true);
});
document.addEventListener("htmx:sendError", () => toast("The server does not answer; try again.", true));
document.addEventListener("htmx:afterRequest", (event) => {
  const text = event.detail.xhr?.getResponseHeader("X-Toast");
  if (text) toast(decodeURIComponent(text));
});
document.addEventListener("htmx:load", (event) => showTimes(event.detail.elt.parentElement || document));

/* ---------- dialogs: data-opens="id" opens, data-closes closes ---------- */
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens)?.showModal();
  if (event.target.closest("[data-closes]")) event.target.closest("dialog")?.close();
  if (event.target.closest("[data-print]")) window.print();
  if (event.target.closest("[data-back]")) history.back();
});

/* ---------- forms with data-ask: confirm before sending ---------- */
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.ask && !form.dataset.asked) {
    event.preventDefault();
    ask(form.dataset.ask, form.dataset.askDo || "Yes").then((agreed) => {
      if (!agreed) return;
      form.dataset.asked = "1";
      form.requestSubmit();
    });
  }
}, true);
function ask(text, yes) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    const form = document.createElement("form");
    form.method = "dialog";
    const words = document.createElement("p");
    words.id = "ask-text";
    words.textContent = text;
    dialog.setAttribute("aria-labelledby", "ask-text");
    const row = document.createElement("div");
    row.className = "actions";
    for (const [label, value, kind] of [[yes, "yes", "danger"], ["Cancel", "no", ""]]) {
      const button = document.createElement("button");
      button.value = value;
      button.className = kind;
      button.textContent = label;
      row.append(button);
    }
    form.append(words, row);
    dialog.append(form);
    document.body.append(dialog);
    dialog.addEventListener("close", () => { resolve(dialog.returnValue === "yes"); dialog.remove(); });
    dialog.showModal();
    row.lastChild.focus();
  });
}

/* ---------- data-drop: drop files onto an area with a file input ---------- */
function armDrops() {
  for (const place of document.querySelectorAll("[data-drop]:not([data-armed])")) {
    place.dataset.armed = "";
    const input = place.querySelector('input[type="file"]');
    const over = (on) => (event) => { event.preventDefault(); place.classList.toggle("over", on); };
    place.addEventListener("dragover", over(true));
    place.addEventListener("dragleave", over(false));
    place.addEventListener("drop", (event) => {
      over(false)(event);
      if (!event.dataTransfer.files.length) return;
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    });
    if (place.dataset.drop === "send") input.addEventListener("change", () => { if (input.files.length) input.form.requestSubmit(); });
  }
}
document.addEventListener("htmx:load", armDrops);

document.addEventListener("DOMContentLoaded", () => {
  showTimes(document);
  armDrops();
  // An open menu closes with Escape, or with a click elsewhere.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  const notice = document.querySelector("[data-toast]");
  if (notice) toast(notice.dataset.toast);
});
