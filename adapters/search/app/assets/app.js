// The search page: shows what the address says, and takes what people type and choose.

import { go, onVisit, state } from "./address.js";
import { $, changing } from "./dom.js";
import { offerFilters, openFilters, showChips } from "./filters.js";
import { takePhotos } from "./photos.js";
import { copyLink, showProduct, takeClosing } from "./product.js";
import { showMix, showPhotoChip, showQueryPhotos } from "./query.js";
import { offerSort, showProducts } from "./results.js";
import { offerSaved } from "./saved.js";
import { saveTable } from "./table.js";

const HINTS = { // in the field, on a phone shorter
  words: ["Search by words, or by a photo", "Words or a photo"],
  wish: ["What should differ? For example: in red", "but in red …"],
};
const narrow = matchMedia("(max-width: 500px)");
let sent = null; // the words of the search that is shown

function render({ back = false } = {}) {
  const wanted = state();
  if (wanted.q !== sent) $("words").value = sent = wanted.q;
  $("words").placeholder = HINTS[wanted.photos.length ? "wish" : "words"][narrow.matches ? 1 : 0];
  $("order").value = wanted.sort || "";
  changing(() => {
    showPhotoChip(wanted);
    showMix(wanted);
    showChips(wanted);
    showProducts(wanted, { back, before: () => showQueryPhotos(wanted) });
    showProduct(wanted.product);
  });
  document.title = (wanted.q ? `${wanted.q} · ` : wanted.photos.length ? "photo · " : "") + "E2 search";
}

// Keys -----------------------------------------------------------------------------------------------------------------

const typing = (node) => node.matches?.("input:not([type=checkbox]):not([type=radio]), textarea, select");

function moveInGrid(event) {
  const cards = [...document.querySelectorAll(".grid .card")];
  const place = cards.indexOf(document.activeElement);
  if (place < 0) return;
  const top = cards[0].getBoundingClientRect().top;
  const columns = cards.findIndex((node) => node.getBoundingClientRect().top > top + 5);
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns < 0 ? 1 : columns, ArrowUp: columns < 0 ? -1 : -columns };
  const next = cards[place + steps[event.key]];
  if (!steps[event.key] || !next) return;
  event.preventDefault();
  next.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !typing(event.target) && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    $("words").select();
    $("words").focus();
  } else if (event.key === "Escape" && document.body.classList.contains("filtering")) openFilters(false);
  else if (event.key === "ArrowDown" && event.target === $("words") && $("words").value === sent) { // while one types, the key is the suggestions'
    event.preventDefault();
    document.querySelector(".grid .card")?.focus();
  } else if (event.key.startsWith("Arrow")) moveInGrid(event);
});

// Start ----------------------------------------------------------------------------------------------------------------

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  go({ q: $("words").value.trim(), product: null });
  scrollTo({ top: 0 });
});
$("words").addEventListener("search", () => { if (!$("words").value && state().q) go({}); });
$("open-filters").addEventListener("click", () => openFilters(true));
$("copy").addEventListener("click", copyLink);
$("save").addEventListener("click", saveTable);
takePhotos();
takeClosing();
offerFilters();
offerSort();
offerSaved();
onVisit(render);
history.scrollRestoration = "manual";
addEventListener("popstate", () => render({ back: true }));
render();
