// Live updates of the feed: an event names a new or changed track; its card is then fetched, and replaces the old one or goes on top.
"use strict";
(() => {
  const feed = document.getElementById("feed");
  if (!feed || !window.EventSource) return;
  const line = document.getElementById("live");
  const say = (on, text) => {
    if (!line) return;
    line.querySelector(".dot").className = on ? "dot on" : "dot off";
    line.querySelector("[data-live-text]").textContent = text;
  };
  const waiting = new Set();
  let timer = null;
  async function fetchCards() {
    timer = null;
    const names = [...waiting].slice(0, 50);
    names.forEach((name) => waiting.delete(name));
    if (waiting.size) timer = setTimeout(fetchCards, 500);
    const query = new URLSearchParams(feed.dataset.query || "");
    names.forEach((name) => query.append("track", name));
    const answer = await fetch(`/sightings/named?${query}`, { headers: { "HX-Request": "true" } });
    if (!answer.ok) return;
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    const shown = new Set();
    for (const card of [...parsed.querySelectorAll("article.sighting")].reverse()) {
      shown.add(card.id);
      const known = document.getElementById(card.id);
      const fresh = document.importNode(card, true);
      if (known) known.replaceWith(fresh); else feed.prepend(fresh);
      htmx.process(fresh);
      document.dispatchEvent(new CustomEvent("farsight:shown", { detail: fresh }));
    }
    for (const name of names) if (!shown.has(`t-${name}`)) document.getElementById(`t-${name}`)?.remove();
    document.querySelector(".empty")?.toggleAttribute("hidden", feed.childElementCount > 0);
  }
  const events = new EventSource("/api/v1/events");
  events.addEventListener("open", () => say(true, "live"));
  events.addEventListener("error", () => say(false, "reconnecting"));
  events.addEventListener("track", (event) => {
    const sighting = JSON.parse(event.data);
    waiting.add(`${sighting.source}/${sighting.track}`);
    if (!timer) timer = setTimeout(fetchCards, 150);
  });
  addEventListener("pagehide", () => events.close());
})();
