// The address holds the whole search, by the names of the API, so that links, history and reload bring it back.

import { $ } from "./dom.js";

export const WEIGHT = "0.8"; // of the words in a blend, as everywhere (TEXT_WEIGHT)
export const NO_FILTERS = { tags: [], between: [], filter: null };
let show = null; // shows what the address says

export function onVisit(render) {
  show = render;
}

export function state() {
  const found = new URLSearchParams(location.search);
  return {
    q: found.get("q") || "", photos: found.getAll("photo"), minus: found.getAll("minus"), box: found.get("box"),
    method: found.get("method"), weight: found.get("weight") || WEIGHT, tags: found.getAll("tag"), between: found.getAll("between"), filter: found.get("filter"),
    sort: found.get("sort"), product: found.get("product"),
  };
}

export const filtersOf = ({ tags, between, filter }) => [...tags, ...between, ...(filter ? [filter] : [])];

export function searchOf(wanted) {
  const found = new URLSearchParams();
  if (wanted.q) found.set("q", wanted.q);
  for (const photo of wanted.photos) found.append("photo", photo);
  if (wanted.photos.length) for (const photo of wanted.minus) found.append("minus", photo);
  if (wanted.photos.length === 1 && wanted.box) found.set("box", wanted.box);
  if (wanted.photos.length && wanted.q && wanted.method) found.set("method", wanted.method);
  if (wanted.photos.length && wanted.q && wanted.weight !== WEIGHT) found.set("weight", wanted.weight);
  for (const tag of wanted.tags) found.append("tag", tag);
  for (const range of wanted.between) found.append("between", range);
  if (wanted.filter) found.set("filter", wanted.filter);
  if (wanted.sort) found.set("sort", wanted.sort);
  return found;
}

export function addressOf(wanted) {
  const found = searchOf(wanted);
  if (wanted.product) found.set("product", wanted.product);
  const text = found.toString();
  return location.pathname + (text ? "?" + text : "");
}

// Words that were typed and not sent yet are part of whatever is chosen next; a product that is opened leaves them alone.
export function go(changes, { replace = false } = {}) {
  const now = state();
  const part = "photos" in changes ? { box: null } : {}; // a box belongs to its photo
  const wanted = { ...now, q: $("words").value.trim(), ...part, ...changes };
  visit(wanted, { replace: replace || now.product !== null });
}

export function visit(wanted, { replace = false, mark = null } = {}) {
  const address = addressOf(wanted);
  if (address !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](mark, "", address);
  show();
}
