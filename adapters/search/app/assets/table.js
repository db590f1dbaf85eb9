// A table of the products that are shown, for a spreadsheet.

import { $, about, el } from "./dom.js";

const FORMULA = /^[\t\r\n]|^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/;
const NUMBER = /^-?\d+(\.\d+)?$/;

// One cell. A text that a spreadsheet would run as a formula gets an apostrophe before it.
export function cell(text) {
  const safe = FORMULA.test(text) && !NUMBER.test(text) ? "'" + text : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

export function saveTable() {
  const rows = [...$("results").querySelectorAll("li:not(.line)")].map(({ product }) =>
    [product.product_id, product.score.toFixed(4), product.caption, ...about.entities.map((entity) => product.tags[entity] || "")]);
  const table = [["product_id", "score", "caption", ...about.entities], ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
  const link = el("a", { href: URL.createObjectURL(new Blob(["\ufeff" + table], { type: "text/csv" })), download: "products.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}
