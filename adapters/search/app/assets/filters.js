// Filters by the catalogue's tags.

import { NO_FILTERS, go, searchOf, state } from "./address.js";
import { $, about, ask, button, el, isLink, plainName, productCount } from "./dom.js";
import { entityOf, numberFields, rangeInWords, without } from "./numbers.js";

const SHOWN = 200; // values of a filter shown when it is unfolded
const FEW = 7; // values of a filter shown at first
const PAUSE = 200; // ms after a letter until values that are not here are asked for
const MANY = 3 * FEW; // values from which on letters find one; numbers are then told by their ends alone
const groups = new Map(); // entity -> its group on the page

const toggled = (tags, tag) => (tags.includes(tag) ? tags.filter((other) => other !== tag) : [...tags, tag]);

export const withTag = (entity, value) => [...new Set([...state().tags, `${entity}:${value}`])];

const valueOf = (tag) => tag.slice(entityOf(tag).length + 1) || "none";

// The filters of a search in words, without their tags' names where values tell enough.
export const filtersInWords = ({ tags, between, filter }) =>
  [...tags.map(valueOf), ...between.map((range) => `${plainName(entityOf(range))} ${rangeInWords(range)}`), ...(filter ? [filter] : [])];

export function showChips(wanted) {
  const chips = [
    ...wanted.tags.map((tag) => chip(entityOf(tag), valueOf(tag), () => go({ tags: toggled(state().tags, tag) }))),
    ...wanted.between.map((range) => chip(entityOf(range), rangeInWords(range), () => go({ between: without(state().between, entityOf(range)) }))),
    ...(wanted.filter ? [chip("only", wanted.filter, () => go({ filter: null }))] : []), // no page writes one, but a link may
  ];
  $("open-filters").textContent = chips.length ? `Filters (${chips.length})` : "Filters";
  if (chips.length) chips.push(button("plain", "Clear all", () => go(NO_FILTERS)));
  $("chips").replaceChildren(...chips);
}

const chip = (entity, text, onclick) => el("button", { type: "button", title: "Remove this filter", onclick },
  el("small", {}, plainName(entity)), " ", el("bdi", {}, text), el("span", { "aria-hidden": "true" }, "×"));

export function offerFilters() {
  for (const entity of about.entities) groups.set(entity, filterGroup(entity));
  $("filters").append(
    el("div", { className: "filters-head" }, el("h2", {}, "Filters"),
      button("plain close-filters", "Show products", () => openFilters(false), { "aria-live": "polite" })),
    ...[...groups.values()].map((group) => group.node));
  matchMedia("(min-width: 801px)").addEventListener("change", () => { // a tablet was turned
    if (document.body.classList.contains("filtering")) openFilters(false);
  });
  if (!about.entities.length) $("filters").append(el("p", { className: "soft" }, "This catalogue has no tags to filter by."));
}

export function showFilters({ facets, found, more }, wanted) {
  $("filters").querySelector(".close-filters").textContent = `Show ${productCount(found)}`;
  for (const [entity, group] of groups) group.show(facets[entity] || {}, wanted, more[entity] || 0);
}

// The group of a tag: what is typed and unfolded in it stays when the counts change.
function filterGroup(entity) {
  const numbers = about.numbers.includes(entity) ? numberFields(entity) : null;
  const list = el("ul", {});
  const finder = el("input", { type: "search", placeholder: `Find ${plainName(entity)}`, "aria-label": `Find ${plainName(entity)}`, oninput: () => { fill(); if (more) look(); } });
  const fold = button("plain", "", () => { unfolded = !unfolded; fill(); });
  const node = el("fieldset", { className: "filter", hidden: true }, el("legend", {}, plainName(entity)), numbers?.node, finder, list, fold);
  let unfolded = false;
  let values = []; // [value, count]
  let more = 0; // values that are not among them
  let looked = null; // what was found among all values, and for which letters
  let waiting;
  let chosen = new Set();

  // Finds among all values, which are too many to be here.
  function look() {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const letters = finder.value;
      const asked = searchOf(state());
      asked.set("entity", entity);
      asked.set("letters", letters);
      const found = await ask("/api/values", asked).catch(() => null); // those that are here stay
      if (!found || letters !== finder.value) return;
      looked = { letters, ...found };
      fill();
    }, PAUSE);
  }

  function fill() {
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.tag : null;
    const letters = finder.value.toLowerCase();
    const among = looked?.letters === finder.value ? Object.entries(looked.values) : values;
    const fitting = among.filter(([value]) => value.toLowerCase().includes(letters));
    const some = unfolded ? fitting.slice(0, SHOWN) : fitting.slice(0, Math.max(FEW, chosen.size));
    list.replaceChildren(...some.map(([value, count]) => filterValue(entity, value, count, chosen.has(value))));
    fold.hidden = fitting.length <= FEW;
    const count = fitting.length + (among !== values ? looked.more : letters ? 0 : more);
    fold.textContent = unfolded ? "Show fewer" : count > SHOWN ? `Show ${SHOWN} of ${count.toLocaleString("en")}` : `Show all ${count}`;
    if (focused) [...list.querySelectorAll("input")].find((input) => input.dataset.tag === focused)?.focus();
  }

  function show(counts, { tags, between }, left) {
    more = left;
    looked = null;
    chosen = new Set(tags.filter((tag) => entityOf(tag) === entity).map((tag) => tag.slice(entity.length + 1)));
    values = Object.entries(counts).filter(([value]) => value);
    for (const value of chosen) if (!(value in counts)) values.unshift([value, 0]);
    values.sort(([a], [b]) => chosen.has(b) - chosen.has(a)); // stable: the frequent stay first within both
    numbers?.show(counts, between);
    if (numbers && values.length > MANY) values = values.slice(0, chosen.size);
    finder.hidden = values.length <= MANY;
    const filters = Object.keys(counts).some((value) => value) && !Object.keys(counts).some(isLink);
    node.hidden = !filters && !chosen.size && !between.some((range) => entityOf(range) === entity);
    fill();
    if (more && finder.value) look();
  }

  return { node, show };
}

function filterValue(entity, value, count, checked) {
  const tag = `${entity}:${value}`;
  const box = el("input", { type: "checkbox", checked, onchange: () => go({ tags: toggled(state().tags, tag) }) });
  box.dataset.tag = tag;
  return el("li", {}, el("label", {}, box, el("bdi", {}, value), el("span", { className: "count" }, count.toLocaleString("en"))));
}

const beside = document.querySelectorAll(".skip, header, main, footer");

// On a phone the filters cover the page, which is then out of reach.
export function openFilters(open) {
  document.body.classList.toggle("filtering", open);
  for (const part of beside) part.inert = open;
  if (open) $("filters").querySelector("input, button")?.focus();
  else $("open-filters").focus();
}

// Ways to find something: filters of one tag to drop, and how many products that brings.
export function fewerFilters(unfiltered) {
  return Object.entries(unfiltered).filter(([, count]) => count)
    .map(([entity, count]) => button("plain",
      `Any ${plainName(entity)}: ${productCount(count)}`,
      () => go({ tags: without(state().tags, entity), between: without(state().between, entity) })));
}
