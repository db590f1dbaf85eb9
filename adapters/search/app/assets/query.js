// Photos and words of a search: which photos, more or less of each, a part of one, how they are combined with the words.

import { go, state } from "./address.js";
import { takeBox } from "./box.js";
import { $, about, button, el, photoAddress, say, valuesOf } from "./dom.js";
import { MOST_PHOTOS, choosePhoto } from "./photos.js";
import { photoPanel } from "./readings.js";

const METHODS = {
  slots: ["Change its tags", "Reads the photo's tags and changes those that your words name"],
  cirevl: ["Rewrite its description", "Describes the photo, and rewrites the description by your words"],
  slerp: ["Blend", "A point between photo and words; you choose how near to which"],
  lincir: ["As a word (LinCIR)", "The photo becomes a word in a sentence with your words"],
  pic2word: ["As a word (Pic2Word)", "The photo becomes a word in a sentence with your words"],
  searle: ["As a word (SEARLE)", "The photo becomes a word in a sentence with your words"],
  sum: ["Sum", "Photo and words count alike"],
};
const STEPS = { only: "Only", kept: "Comes first", changed: "After your words", prompt: "Searched with", caption: "The photo, described", rewritten: "After your words",
  unwanted: "Kept out", reranked: "Looked at closely", "not understood": "Not understood" };
const NONE = { photos: [], minus: [] };

// Choosing -------------------------------------------------------------------------------------------------------------

export function searchWith(photo) {
  const typed = $("words").value.trim();
  go({ photos: [photo], minus: [], q: typed === state().q ? "" : typed, product: null });
  scrollTo({ top: 0 });
  $("words").focus({ preventScroll: true });
}

// More like a photo, or less like it: it joins those of the search, on this side and no longer on the other.
export function addPhoto(photo, side) {
  const now = state();
  const others = { photos: now.photos.filter((other) => other !== photo), minus: now.minus.filter((other) => other !== photo) };
  if (side === "minus" && !others.photos.length) return say("Less of it needs another photo to start from.");
  if (others[side].length >= MOST_PHOTOS) return say(`A search takes ${MOST_PHOTOS} photos; remove one first.`);
  go({ ...others, [side]: [...others[side], photo] });
  scrollTo({ top: 0 });
}

function removePhoto(photo) {
  const now = state();
  const photos = now.photos.filter((other) => other !== photo);
  go(photos.length ? { photos, minus: now.minus.filter((other) => other !== photo) } : NONE);
}

// Showing --------------------------------------------------------------------------------------------------------------

export function showPhotoChip({ photos, minus }) {
  const chip = $("photo-chip");
  chip.hidden = !photos.length;
  if (!photos.length) return chip.replaceChildren();
  const more = photos.length + minus.length - 1;
  const label = more ? "Remove the photos" : "Remove the photo";
  chip.replaceChildren(
    el("img", { src: photoAddress(photos[0]), alt: "", onerror: (event) => { event.target.hidden = true; } }),
    el("span", { className: "further", hidden: !more, title: `and ${more} more` }, `+${more}`),
    button("", "×", () => go(NONE), { title: label, "aria-label": label }));
}

export function showMix({ photos, q, method, weight }) {
  const mix = $("mix");
  mix.hidden = !(photos.length && q);
  if (mix.hidden) return mix.replaceChildren();
  const chosen = method || about.methods[0];
  const choices = about.methods.map((name) => {
    const [label, meaning] = METHODS[name] || [name, name];
    return el("label", { title: meaning },
      el("input", { type: "radio", name: "method", value: name, checked: name === chosen, onchange: () => go({ method: name }) }),
      el("span", {}, label));
  });
  mix.replaceChildren(el("fieldset", { className: "segments" }, el("legend", {}, "Photo and words:"), ...choices));
  if (chosen === "slerp") {
    mix.append(el("label", { className: "weight" }, "photo",
      el("input", { type: "range", min: "0", max: "1", step: "0.05", value: weight, "aria-label": "weight of the words",
        onchange: (event) => go({ weight: event.target.value }, { replace: true }) }), "words"));
  }
}

export function showSteps(found) {
  const told = Object.entries(found.steps).filter(([name]) => STEPS[name]).map(([name, value]) =>
    el("div", {}, el("dt", {}, STEPS[name]), el("dd", { dir: "auto" }, typeof value === "string" ? value : Object.values(value).flatMap(valuesOf).join(", "))))
    .filter((line) => line.lastChild.textContent);
  $("query-photo").querySelector(".steps")?.replaceChildren(...told);
}

// One photo is shown large, with what is read off it; several are shown small.
export function showQueryPhotos({ photos, minus, box }) {
  const place = $("query-photo");
  const now = JSON.stringify([photos, minus, box]);
  place.hidden = !photos.length;
  if (place.dataset.now === now) return place.querySelector(".steps")?.replaceChildren();
  place.dataset.now = now;
  if (!photos.length) return place.replaceChildren();
  place.classList.toggle("several", photos.length > 1);
  const steps = el("dl", { className: "steps" });
  if (photos.length > 1) return place.replaceChildren(tiles(photos, minus, el("li", {}, addButton("add", photos))), steps);
  const { picture, facts } = photoPanel(photos[0], "the photo you search with", box);
  const part = takeBox(picture, box);
  part.append(addButton("plain", photos));
  place.replaceChildren(el("div", { className: "own" }, picture, part), facts, el("div", {}, minus.length ? tiles([], minus) : "", steps));
}

const addButton = (className, photos) => button(className, "Add a photo", () => choosePhoto(true),
  { hidden: photos.length >= MOST_PHOTOS, title: "A further photo: the hits are like all of them" });

function tiles(photos, minus, ...further) {
  return el("ul", { className: "tiles", "aria-label": "Photos of the search" },
    ...photos.map((photo) => tile(photo, false)), ...minus.map((photo) => tile(photo, true)), ...further);
}

function tile(photo, less) {
  const name = less ? "a photo to move away from" : "a photo you search with";
  return el("li", { className: less ? "tile less" : "tile" },
    el("img", { src: photoAddress(photo), alt: name }),
    el("span", { className: "sign", "aria-hidden": "true" }, less ? "−" : "+"),
    button("remove", "×", () => removePhoto(photo), { title: "Remove this photo", "aria-label": `Remove ${name}` }),
    button("plain", less ? "More of it" : "Less of it", () => addPhoto(photo, less ? "photos" : "minus")));
}
