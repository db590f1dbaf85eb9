// What the encoder makes of a photo: tags, where its tokens looked for them, a caption.

import { go } from "./address.js";
import { about, ask, button, el, photoAddress, plainName, svg, valuesOf } from "./dom.js";
import { withTag } from "./filters.js";

const SURE = { known: "from the catalogue", likely: "likely", guess: "a guess" };
const SHADE = 0.55; // over patches that no token took: the photo stays to be seen
const NAMED = 2; // tags that a proposed part names
const LIT = 0.25; // of the most chosen patch's weight: patches above are framed

// The photo in a frame, and facts of it, or of a part of it.
export function photoPanel(photo, alt, box = null) {
  const asked = box ? { photo, box } : { photo };
  const picture = el("div", { className: "picture" }, el("img", { src: photoAddress(photo), alt, draggable: false }));
  const readings = el("details", { className: "readings", open: matchMedia("(min-width: 801px)").matches },
    el("summary", {}, box ? "Read off this part" : "Read off the photo"), el("p", { className: "soft" }, "Reading …"));
  ask("/api/read", asked).then((found) => showReadings(found, picture, readings, photo))
    .catch((problem) => readings.lastChild.replaceWith(el("p", { className: "soft" }, problem.message)));
  return { picture, facts: el("div", { className: "facts" }, readings, ...(about.captions ? caption(asked) : [])) };
}

function caption(asked) {
  const said = el("p", { className: "described", dir: "auto", "aria-live": "polite" });
  const describe = button("describe", asked.box ? "Describe this part" : "Describe this photo", async () => {
    describe.disabled = true;
    said.textContent = "Looking …";
    try {
      said.textContent = (await ask("/api/caption", asked)).caption;
      describe.hidden = true;
    } catch (problem) {
      said.textContent = problem.message;
      describe.disabled = false;
    }
  });
  return [describe, said];
}

function showReadings(found, picture, place, photo) {
  const entities = Object.keys(found.tags);
  const looked = Object.keys(found.looks);
  if (!entities.length && !looked.length) return place.remove();
  const rows = (entities.length ? entities : looked).map((entity) => readingRow(entity, found, picture));
  place.lastChild.replaceWith(el("ul", {}, ...rows));
  if (looked.length) place.append(el("p", { className: "soft" }, "A guess takes no part in the search. The eye shows the patches that each tag's tokens took."));
  if (found.parts.length) place.append(el("p", { className: "parts" }, "Search with the part for ", ...found.parts.map((part) => partButton(part, picture, photo))));
}

// A part where tokens looked; it is framed in the photo while the button is pointed at.
function partButton({ entities, box }, picture, photo) {
  const [left, top, right, bottom] = box.map((side) => 100 * side);
  const frame = el("span", { className: "proposed" });
  Object.assign(frame.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
  const shown = () => picture.append(frame);
  const gone = () => frame.remove();
  const names = entities.map(plainName);
  const more = names.length - NAMED;
  return button("", more > 1 ? `${names.slice(0, NAMED).join(", ")} and ${more} more` : names.join(", "), () => go({ photos: [photo], minus: [], box: box.join(","), product: null }),
    { onpointerenter: shown, onpointerleave: gone, onfocus: shown, onblur: gone, title: names.join(", ") });
}

function readingRow(entity, found, picture) {
  const [best, ...others] = found.tags[entity] || [];
  const hint = others.map((other) => other.value).join(", ");
  const eye = found.looks[entity] ? el("button", { type: "button", className: "eye", "aria-pressed": "false",
    title: `Where it looked for ${plainName(entity)}`, "aria-label": `Where it looked for ${plainName(entity)}`,
    onclick: () => {
      const on = eye.getAttribute("aria-pressed") !== "true";
      for (const other of eye.closest("ul").querySelectorAll(".eye")) other.setAttribute("aria-pressed", "false");
      eye.setAttribute("aria-pressed", String(on));
      showLook(picture, on ? found : null, entity);
      if (on) picture.scrollIntoView({ block: "nearest" }); // on a phone it may be above what is seen
    } }, eyeIcon()) : null;
  const values = best ? el("span", { className: "values" }, ...valuesOf(best.value).map((value) =>
    button("value", value, () => go({ tags: withTag(entity, value), product: null }), { title: hint ? `or else: ${hint}` : "", dir: "auto" }))) : null;
  return el("li", {}, el("span", { className: "entity" }, plainName(entity)), values,
    best ? el("span", { className: "count" }, SURE[best.sure]) : null, eye);
}

function eyeIcon() {
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("path", { d: "M2 12s4-6.5 10-6.5S22 12 22 12s-4 6.5-10 6.5S2 12 2 12z" }), svg("circle", { cx: 12, cy: 12, r: 3 }));
}

function showLook(picture, found, entity) {
  picture.querySelector("svg")?.remove();
  if (!found) return;
  const layers = found.looks[entity];
  const [rows, columns] = [layers[0].weights.length, layers[0].weights[0].length];
  const total = layers[0].weights.map((row, y) => row.map((_, x) => layers.reduce((sum, layer) => sum + layer.weights[y][x], 0)));
  const most = Math.max(...total.flat());
  const image = picture.querySelector("img");
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const [left, top, right, bottom] = found.seen;
  const [across, down] = [((right - left) * width) / columns, ((bottom - top) * height) / rows];
  const shade = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "look", role: "img",
    "aria-label": `patches chosen for ${plainName(entity)}` });
  const lit = svg("g", { class: "lit" });
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const place = { x: left * width + x * across, y: top * height + y * down, width: across, height: down };
      shade.append(svg("rect", { ...place, class: "shade", "fill-opacity": (SHADE * (1 - total[y][x] / most)).toFixed(3) }));
      if (total[y][x] > LIT * most) lit.append(svg("rect", { ...place, class: "frame" }));
    }
  }
  shade.append(lit);
  picture.append(shade);
}
