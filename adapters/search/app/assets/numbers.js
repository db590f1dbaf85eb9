// From and to of a tag's numbers, such as a price.

import { go, state } from "./address.js";
import { about, el, plainName } from "./dom.js";

const NUMBER = /^-?\d+([.,]\d+)?$/;

// The entity of a filter; of the index's, whose names may hold colons, the longest.
export const entityOf = (filter) =>
  about.entities.filter((entity) => filter.startsWith(`${entity}:`)).sort((a, b) => b.length - a.length)[0] ?? filter.split(":")[0];
export const without = (filters, entity) => filters.filter((filter) => entityOf(filter) !== entity);

// The ends of a range "price:10..50", as texts; an end that is left out is empty.
function endsOf(range) {
  const [from, to = ""] = range.slice(entityOf(range).length + 1).split("..");
  return [from, to];
}

export function rangeInWords(range) {
  const [from, to] = endsOf(range);
  return from && to ? `${from} to ${to}` : from ? `from ${from}` : `up to ${to}`;
}

// Two fields for one tag; they stay on the page, so that an answer that comes late takes nothing that is being typed.
export function numberFields(entity) {
  const take = () => {
    const typed = fields.map((field) => field.value.trim());
    fields.forEach((field, end) => field.setAttribute("aria-invalid", String(Boolean(typed[end]) && !NUMBER.test(typed[end]))));
    wrong.hidden = fields.every((field) => field.getAttribute("aria-invalid") === "false");
    if (!wrong.hidden) return;
    const [from, to] = typed.map((text) => text.replace(",", "."));
    go({ between: [...without(state().between, entity), ...(from || to ? [`${entity}:${from}..${to}`] : [])] });
  };
  const wrong = el("p", { className: "soft wrong", role: "alert", hidden: true }, "Write a number, such as 20 or 19.99.");
  const fields = ["from", "to"].map((end) =>
    el("input", { type: "text", inputMode: "decimal", autocomplete: "off", maxLength: 20, "aria-label": `${plainName(entity)} ${end}`, onchange: take }));
  const node = el("div", { className: "numbers" }, fields[0], el("span", { className: "soft" }, "to"), fields[1], wrong);

  // Shows the range of the search, and the least and the greatest number there is.
  function show(counts, between) {
    const range = between.find((one) => entityOf(one) === entity);
    const ends = range ? endsOf(range) : ["", ""];
    const numbers = Object.keys(counts).filter((value) => value.trim()).map(Number).filter(Number.isFinite);
    const bounds = numbers.length ? [numbers.reduce((a, b) => Math.min(a, b)), numbers.reduce((a, b) => Math.max(a, b))] : ["", ""];
    fields.forEach((field, end) => {
      field.placeholder = bounds[end];
      if (field !== document.activeElement && field.getAttribute("aria-invalid") !== "true") field.value = ends[end];
    });
  }

  return { node, show };
}
