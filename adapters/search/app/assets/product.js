// A product, opened over the page.

import { go, state, visit } from "./address.js";
import { $, ask, button, el, isLink, plainName, say, thumbnail, titled, titleOf, valuesOf } from "./dom.js";
import { withTag } from "./filters.js";
import { searchWith } from "./query.js";
import { photoPanel } from "./readings.js";

const SIMILAR = 8;
let opened = null;

// A product has one entry in the history at most, which closing takes back: so Back never opens it again.
export function openProduct(id) {
  const another = opened !== null;
  visit({ ...state(), product: id }, { replace: another, mark: another ? history.state : "opened here" });
}

function closeProduct() {
  if (opened === null) return;
  const here = history.state === "opened here";
  showProduct(null);
  if (here) history.back();
  else visit({ ...state(), product: null }, { replace: true });
}

export async function showProduct(id) {
  const dialog = $("product");
  if (id === opened) return;
  opened = id;
  if (!id) return dialog.close();
  dialog.replaceChildren(closeButton(), el("p", { className: "soft" }, "Loading …"));
  if (!dialog.open) dialog.showModal();
  const alike = ask("/api/search", { photo: "product:" + id, k: SIMILAR, closely: false }).catch(() => null); // the product stands without them
  try {
    const product = await ask("/api/product", { id });
    if (opened === id) fillProduct(dialog, product);
  } catch (problem) {
    if (opened === id) dialog.replaceChildren(closeButton(), el("p", { className: "message" }, problem.message));
    return;
  }
  const found = await alike;
  if (opened === id && found?.products.length) dialog.append(similar(found.products));
}

const closeButton = () => button("close", "×", closeProduct, { "aria-label": "Close" });

const similar = (products) => el("section", { className: "similar" }, el("h3", {}, "Similar products"),
  el("ul", {}, ...products.map((other) => el("li", {}, el("button", { type: "button", title: titleOf(other),
    onclick: () => openProduct(other.product_id) }, el("img", { src: thumbnail(other.product_id), alt: titleOf(other) }))))));

function fillProduct(dialog, product) {
  const photo = "product:" + product.product_id;
  const [first, rest] = titled(product.caption);
  const title = first || product.product_id;
  const { picture, facts } = photoPanel(photo, title);
  const tags = Object.entries(product.tags).map(([entity, tag]) => el("div", {}, el("dt", {}, plainName(entity)),
    el("dd", {}, ...valuesOf(tag).map((value) => (isLink(value)
      ? el("a", { href: value, rel: "noreferrer", target: "_blank" }, "Open in the shop")
      : button("value", value, () => go({ tags: withTag(entity, value), product: null }), { title: "Filter by it", dir: "auto" }))))));
  dialog.replaceChildren(closeButton(),
    el("div", { className: "sheet" }, picture,
      el("div", { className: "about" },
        el("h2", { dir: "auto", tabIndex: -1 }, title),
        el("p", { className: "soft" }, el("bdi", {}, product.product_id)),
        rest ? el("p", { dir: "auto" }, rest) : null,
        el("dl", { className: "tag-list" }, ...tags),
        el("div", { className: "actions" },
          button("go", "Search with this photo", () => searchWith(photo)), button("", "Copy link", copyLink)),
        facts)));
  dialog.scrollTop = 0;
  dialog.querySelector("h2").focus(); // what was focused is gone
}

export async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    say("Link copied");
  } catch {
    say("Copying is not allowed here; the address bar holds the link.");
  }
}

export function takeClosing() {
  const dialog = $("product");
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); closeProduct(); });
  dialog.addEventListener("close", () => { // a browser may close it by itself; the event may come when it is open again
    if (!dialog.open) closeProduct();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) closeProduct(); });
}
