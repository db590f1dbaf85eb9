// Searches that were saved by a name, in this browser only.

import { searchOf, state } from "./address.js";
import { $, button, el } from "./dom.js";
import { filtersInWords } from "./filters.js";

const KEY = "e2-saved-searches";
const LONGEST = 100; // characters of a name
const REFUSED = "This browser keeps nothing for this page. Copy the link instead.";
const FORGOTTEN = "The server forgets a photo that was sent after a while; this search then asks for it again.";

// [{ name, search }], the newest first; what is no such list, of whatever made it, counts as none.
function saved() {
  try {
    return JSON.parse(localStorage.getItem(KEY)).filter(({ name, search }) => typeof name === "string" && typeof search === "string");
  } catch {
    return [];
  }
}

function keep(searches) {
  try {
    localStorage.setItem(KEY, JSON.stringify(searches));
    return "";
  } catch {
    return REFUSED;
  }
}

const nameOf = (wanted) =>
  [wanted.q || (wanted.photos.length ? "like the photo" : ""), ...filtersInWords(wanted)].filter(Boolean).join(", ").slice(0, LONGEST) || "All products";

function fill(told = "") {
  const dialog = $("saved");
  const wanted = state();
  const name = el("input", { type: "text", id: "name", maxLength: LONGEST, required: true, value: nameOf(wanted), autocomplete: "off" });
  const form = el("form", { onsubmit: (event) => {
    event.preventDefault();
    const called = name.value.trim();
    if (!called) return;
    const problem = keep([{ name: called, search: searchOf(wanted).toString() }, ...saved().filter((other) => other.name !== called)]);
    fill(problem || `“${called}” is saved in this browser.`);
  } }, el("label", { htmlFor: "name" }, "Name"), name, el("button", { className: "go" }, "Save this search"));
  const lines = saved().map(({ name: called, search }) => el("li", {},
    el("a", { href: location.pathname + (search ? "?" + search : ""), dir: "auto" }, called),
    button("plain", "Delete", () => fill(keep(saved().filter((other) => other.name !== called)) || `“${called}” is deleted.`),
      { "aria-label": `Delete ${called}` })));
  dialog.replaceChildren(
    button("close", "×", () => dialog.close(), { "aria-label": "Close" }),
    el("h2", {}, "Saved searches"), form,
    el("p", { className: "soft", hidden: !wanted.photos.some((photo) => photo.startsWith("upload:")) }, FORGOTTEN),
    el("p", { className: "soft", role: "status" }, told || (lines.length ? "" : "None yet. They stay in this browser; nobody else sees them.")),
    el("ul", {}, ...lines));
  name.focus();
}

export function offerSaved() {
  const dialog = $("saved");
  $("open-saved").addEventListener("click", () => { dialog.showModal(); fill(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}
