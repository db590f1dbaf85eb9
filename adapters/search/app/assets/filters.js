// Filters by the catalogue's tags.

import { go, state } from "./address.js";
import { $, about, button, el, plainName } from "./dom.js";

const FEW = 7; // values of a filter shown at first
const unfolded = new Set(); // entities all of whose values are shown
const sought = {}; // entity -> letters typed to find a value

const toggled = (tags, tag) => (tags.includes(tag) ? tags.filter((other) => other !== tag) : [...tags, tag]);

export const withTag = (entity, value) => [...new Set([...state().tags, `${entity}:${value}`])];

export function showChips(wanted) {
  const chips = wanted.tags.map((tag) => {
    const [entity, ...value] = tag.split(":");
    return el("button", { type: "button", title: "Remove this filter", onclick: () => go({ tags: toggled(state().tags, tag) }) },
      el("small", {}, plainName(entity)), " ", el("bdi", {}, value.join(":") || "none"), el("span", { "aria-hidden": "true" }, "×"));
  });
  if (chips.length) chips.push(button("plain", "Clear all", () => go({ tags: [] })));
  $("chips").replaceChildren(...chips);
  $("open-filters").textContent = wanted.tags.length ? `Filters (${wanted.tags.length})` : "Filters";
}

export function showFilters(facets, wanted) {
  const focused = document.activeElement?.dataset?.tag;
  const groups = Object.entries(facets).filter(([, counts]) => Object.keys(counts).length)
    .map(([entity, counts]) => filterGroup(entity, counts, wanted));
  $("filters").replaceChildren(
    el("div", { className: "filters-head" }, el("h2", {}, "Filters"),
      button("plain close-filters", "Show products", () => openFilters(false))),
    ...groups);
  if (!about.entities.length) $("filters").append(el("p", { className: "soft" }, "This catalogue has no tags to filter by."));
  if (focused) [...$("filters").querySelectorAll("input")].find((input) => input.dataset.tag === focused)?.focus();
}

function filterGroup(entity, counts, wanted) {
  const chosen = new Set(wanted.tags.filter((tag) => tag.startsWith(entity + ":")).map((tag) => tag.slice(entity.length + 1)));
  const values = Object.entries(counts).filter(([value]) => value);
  for (const value of chosen) if (!(value in counts)) values.unshift([value, 0]);
  values.sort(([a], [b]) => chosen.has(b) - chosen.has(a)); // stable: the frequent stay first within both
  const list = el("ul", {});
  const fill = () => {
    const letters = (sought[entity] || "").toLowerCase();
    const fitting = values.filter(([value]) => value.toLowerCase().includes(letters));
    const some = unfolded.has(entity) ? fitting.slice(0, 200) : fitting.slice(0, Math.max(FEW, chosen.size));
    list.replaceChildren(...some.map(([value, count]) => filterValue(entity, value, count, chosen.has(value))));
    fold.hidden = fitting.length <= FEW;
    fold.textContent = unfolded.has(entity) ? "Show fewer" : `Show all ${fitting.length}`;
  };
  const fold = button("plain", "", () => {
    if (!unfolded.delete(entity)) unfolded.add(entity);
    fill();
  });
  const finder = values.length > 3 * FEW ? el("input", { type: "search", placeholder: `Find ${plainName(entity)}`,
    value: sought[entity] || "", "aria-label": `Find ${plainName(entity)}`, oninput: (event) => { sought[entity] = event.target.value; fill(); } }) : null;
  fill();
  return el("fieldset", { className: "filter" }, el("legend", {}, plainName(entity)), finder, list, fold);
}

function filterValue(entity, value, count, checked) {
  const tag = `${entity}:${value}`;
  const box = el("input", { type: "checkbox", checked, onchange: () => go({ tags: toggled(state().tags, tag) }) });
  box.dataset.tag = tag;
  return el("li", {}, el("label", {}, box, el("bdi", {}, value), el("span", { className: "count" }, count.toLocaleString("en"))));
}

export function openFilters(open) {
  document.body.classList.toggle("filtering", open);
  if (open) $("filters").querySelector("input, button")?.focus();
  else $("open-filters").focus();
}

// Without any value of one tag, as many products remain as its counts add up to: they are under the other filters.
export function fewerFilters(wanted, facets) {
  const entities = new Set(wanted.tags.map((tag) => tag.split(":")[0]));
  return [...entities].map((entity) => [entity, Object.values(facets[entity] || {}).reduce((sum, count) => sum + count, 0)])
    .filter(([, count]) => count)
    .map(([entity, count]) => button("plain",
      `Any ${plainName(entity)}: ${count.toLocaleString("en")} ${count === 1 ? "product" : "products"}`,
      () => go({ tags: state().tags.filter((tag) => tag.split(":")[0] !== entity) })));
}
