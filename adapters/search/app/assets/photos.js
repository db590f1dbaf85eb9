// Photos from the user: chosen, dropped or pasted.

import { go, state } from "./address.js";
import { $, ask, el, say } from "./dom.js";

export const MOST_PHOTOS = 10; // of a query, as in the API
const SIDE = 1024;
const ADDRESS = "This page fetches nothing from other sites. Save the picture first, then choose or drop the file.";
const HEIC = "This browser cannot open HEIC photos. Send a JPEG, or take a screenshot of the photo and send that.";
const isAddress = (text) => /^(https?:|data:image)\S+$/.test(text.trim());
const photoIn = (transfer) => [...(transfer?.files || [])].find((file) => file.type.startsWith("image/") || /\.hei[cf]$/i.test(file.name));
let uploading = null;
let adding = false; // whether the chosen file joins the photos of the search, or begins a new one
let ours = false; // whether what is dragged is a part of this page

export function choosePhoto(joins) {
  adding = joins;
  $("file").click();
}

async function takePhoto(file, joins = false) {
  if (!file) return;
  const number = (uploading = Symbol());
  say("Sending the photo …");
  try {
    const body = await shrunk(file);
    const found = await ask("/api/photos", null, { method: "POST", body, headers: { "Content-Type": body.type || "application/octet-stream" } });
    if (number !== uploading) return;
    $("said").classList.remove("shown");
    const others = joins ? state() : { photos: [], minus: [] };
    go({ photos: [...others.photos.filter((photo) => photo !== found.photo), found.photo], minus: others.minus, product: null });
    $("words").focus({ preventScroll: true });
  } catch (problem) {
    if (number === uploading) say(problem.message);
  }
}

// Large photos are made smaller here already: less to send from a phone, and places and names in the file stay at home.
async function shrunk(file) {
  const picture = await createImageBitmap(file).catch(() => null);
  if (!picture && /hei[cf]/i.test(file.type + file.name)) throw new Error(HEIC);
  if (!picture || Math.max(picture.width, picture.height) <= SIDE) return file;
  const scale = SIDE / Math.max(picture.width, picture.height);
  const canvas = el("canvas", { width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) });
  const paint = canvas.getContext("2d");
  paint.fillStyle = "white";
  paint.fillRect(0, 0, canvas.width, canvas.height);
  paint.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return (await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9))) || file;
}

export function takePhotos() {
  $("choose").addEventListener("click", () => choosePhoto(false));
  $("file").addEventListener("change", () => { takePhoto($("file").files[0], adding); $("file").value = ""; });
  document.addEventListener("paste", (event) => {
    const file = photoIn(event.clipboardData);
    if (file) takePhoto(file);
    else if (isAddress(event.clipboardData.getData("text"))) say(ADDRESS);
  });
  document.addEventListener("dragstart", () => { ours = true; });
  document.addEventListener("dragend", () => { ours = false; });
  document.addEventListener("dragover", (event) => {
    if (ours) return;
    event.preventDefault();
    $("drop").hidden = false;
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
  document.addEventListener("drop", (event) => {
    if (ours) return;
    event.preventDefault();
    $("drop").hidden = true;
    const file = photoIn(event.dataTransfer);
    if (file) takePhoto(file);
    else say(event.dataTransfer.types.includes("text/uri-list") ? ADDRESS : "That was not a photo; drop a JPEG, PNG or WebP file.");
  });
}
