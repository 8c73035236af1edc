// Parts of a page with `data-live="SECONDS"` are read again from the server, which makes the page; without this script
// the pages are the same and are reloaded by hand. What the reader holds open or focuses stays.
"use strict";

const opened = (part) => new Set([...part.querySelectorAll("details[open] > summary")].map((one) => one.textContent));

function replace(part, fresh) {
  if (part.innerHTML === fresh.innerHTML || part.contains(document.activeElement)) {
    return;
  }
  const open = opened(part);
  part.innerHTML = fresh.innerHTML;
  for (const summary of part.querySelectorAll("details > summary")) {
    summary.parentElement.open = open.has(summary.textContent);
  }
}

async function refresh() {
  const parts = [...document.querySelectorAll("[data-live]")];
  if (document.hidden || parts.length === 0) {
    return;
  }
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) {
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts) {
      const fresh = page.getElementById(part.id);
      if (fresh) {
        replace(part, fresh);
        if (!fresh.dataset.live) {
          delete part.dataset.live;
        }
      }
    }
  } catch {
    // The server is away for a moment, as when it is restarted: the page stays, the next turn asks again.
  }
}

function turn() {
  const seconds = [...document.querySelectorAll("[data-live]")].map((part) => Number(part.dataset.live));
  if (seconds.length > 0) {
    setTimeout(async () => {
      await refresh();
      turn();
    }, 1000 * Math.min(...seconds));
  }
}

for (const field of document.querySelectorAll("[data-submit]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
// A button is pressed once.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => setTimeout(() => form.querySelectorAll("button").forEach((one) => (one.disabled = true))));
}
// A page that the browser kept (back, forward) has its buttons again.
addEventListener("pageshow", () => document.querySelectorAll("form[method=post] button").forEach((one) => (one.disabled = false)));
turn();
