// Photos from the user: chosen, dropped or pasted.

import { go, state } from "./address.js";
import { $, ask, el, hush, raise, say } from "./dom.js";

export const MOST_PHOTOS = 10; // of a query, as in the API
const SIDE = 1024;
const ADDRESS = "This page fetches nothing from other sites. Save the picture first, then choose or drop the file.";
const HEIC = "This browser cannot open HEIC photos. Send a JPEG, or take a screenshot of the photo and send that.";
const NO_PHOTO = "That was not a photo; choose or drop a JPEG, PNG or WebP file.";
const TAKEN = ["image/jpeg", "image/png", "image/webp"];
const isAddress = (text) => /^(https?:|data:image)\S+$/.test(text.trim());
const mayBePhoto = ({ types }) => !ours && ["Files", "text/uri-list"].some((type) => types.includes(type)); // a text goes where texts go
const photoIn = (transfer) => [...(transfer?.files || [])].find((file) => file.type.startsWith("image/") || /\.hei[cf]$/i.test(file.name));
let uploading = null;
let adding = false; // whether the chosen file joins the photos of the search, or begins a new one
const invitation = $("drop");
let ours = false; // whether what is dragged is a part of this page

export function choosePhoto(joins) {
  adding = joins;
  $("file").click();
}

async function takePhoto(file, joins = false) {
  if (!file) return;
  const number = (uploading = Symbol());
  say("Sending the photo …", { stays: true });
  try {
    const body = await shrunk(file);
    const found = await ask("/api/photos", null, { method: "POST", body, headers: { "Content-Type": body.type } });
    if (number !== uploading) return;
    hush();
    const others = joins ? state() : { photos: [], minus: [] };
    go({ photos: [...others.photos.filter((photo) => photo !== found.photo), found.photo], minus: others.minus, product: null });
    $("words").focus({ preventScroll: true });
  } catch (problem) {
    if (number === uploading) say(problem.message);
  }
}

// Large photos are made smaller here already: less to send from a phone, and places and names in the file stay at home.
// Kinds that this browser opens and the server does not take become JPEGs.
async function shrunk(file) {
  const picture = await createImageBitmap(file).catch(() => null);
  if (!picture && !TAKEN.includes(file.type)) throw new Error(/hei[cf]/i.test(file.type + file.name) ? HEIC : NO_PHOTO);
  const scale = picture ? Math.min(1, SIDE / Math.max(picture.width, picture.height)) : 1;
  if (scale === 1 && TAKEN.includes(file.type)) return file;
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
    if (!mayBePhoto(event.dataTransfer)) return;
    event.preventDefault();
    if (invitation.hidden) raise(invitation);
    invitation.hidden = false;
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) invitation.hidden = true; });
  document.addEventListener("drop", (event) => {
    if (!mayBePhoto(event.dataTransfer)) return;
    event.preventDefault();
    invitation.hidden = true;
    const file = photoIn(event.dataTransfer);
    if (file) takePhoto(file);
    else say(event.dataTransfer.types.includes("text/uri-list") ? ADDRESS : NO_PHOTO);
  });
}
