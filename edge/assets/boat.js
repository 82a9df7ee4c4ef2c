"use strict";
// Everything from the boat is inserted as text, never as markup. Nothing is requested while the
// page is hidden.

const API = "/api/v1";

const at = (id) => document.getElementById(id);
const visible = () => document.visibilityState === "visible";
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

let camera = 0;
let cameras = [];
let lastSightings = null;

async function fetched(path, seconds) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(seconds * 1000) });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `HTTP status ${answer.status}`);
  return answer;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function ago(seconds) {
  if (seconds < 60) return "just now";
  if (seconds < 7200) return `${Math.round(seconds / 60)} minutes ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} hours ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

function chooseCamera(number) {
  camera = number;
  at("snapshot").href = `${API}/cameras/${number}/snapshot.jpg`;
  for (const button of at("cameras").children) button.setAttribute("aria-pressed", button.dataset.number === String(number));
  at("preview").hidden = true;
  put(at("no-preview"), "no frame yet");
}

function showCameras(names) {
  if (names.join("\n") === cameras.join("\n")) return;
  cameras = names;
  at("cameras").replaceChildren(...(names.length < 2 ? [] : names.map((name, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.number = number;
    button.textContent = name;
    button.addEventListener("click", () => chooseCamera(number));
    return button;
  })));
  chooseCamera(Math.min(camera, Math.max(names.length - 1, 0)));
}

function showStatus(status) {
  put(at("boat"), status.boat);
  document.title = `${status.boat} · Flukewatch on board`;
  at("top").dataset.severity = status.severity;
  const problems = status.items.filter((entry) => entry.severity !== "ok");
  const summary = { ok: "everything works", warning: "working, needs attention:", critical: "critical:" }[status.severity];
  put(at("summary"), problems.length ? `${summary} ${problems.map((entry) => entry.subject).join(", ")}` : summary);
  at("items").replaceChildren(...status.items.map((entry) => {
    const item = document.createElement("li");
    item.dataset.severity = entry.severity;
    item.appendChild(document.createElement("strong")).textContent = entry.subject;
    item.appendChild(document.createElement("span")).textContent = entry.message;
    return item;
  }));
  put(at("version"), `Flukewatch ${status.version}, updated ${status.written_at}`);
  showCameras(status.cameras);
}

function sightingItem(s, now) {
  const item = at("sighting").content.cloneNode(true).firstElementChild;
  const find = (selector) => item.querySelector(selector);
  const picture = `${API}/sightings/${s.id}.jpg`;
  find(".crop").href = picture;
  find("img").src = picture;
  find("img").alt = `fluke of sighting ${s.sequence}`;
  put(find("strong"), s.whale ?? { new: "a new whale", review: "needs review", unidentified: "not identified" }[s.verdict] ?? s.verdict);
  const verdict = find(".verdict");
  put(verdict, s.verdict);
  verdict.dataset.is = s.verdict;
  const probability = s.probability === null ? "" : `, probability ${Math.round(s.probability * 100)} %`;
  const candidates = s.candidates.slice(0, 3).map((c) => `${c.whale} ${c.score.toFixed(2)}`).join(", ");
  put(find(".candidates"), candidates ? `nearest: ${candidates}${probability}` : s.reason ?? "no candidates");
  const place = s.position ? `${s.position[0].toFixed(4)}, ${s.position[1].toFixed(4)}` : "no position";
  const seconds = (now - Date.parse(s.started_at)) / 1000;
  const date = s.started_at.replace("T", " ").replace(/\.\d+Z$/, " UTC");
  put(find(".where"), `#${s.sequence} · ${date} (${ago(seconds)}) · ${s.seconds.toFixed(1)} s, ${s.frames} frames · ${s.camera} · ${place}`);
  const shore = find(".shore");
  const delivered = s.acknowledged && s.picture_acknowledged;
  put(shore, delivered ? "✓ delivered" : s.acknowledged ? "delivered, picture pending" : "pending");
  shore.dataset.is = delivered ? "delivered" : "pending";
  return item;
}

function showSightings(all) {
  const now = JSON.stringify(all);
  if (now === lastSightings) return;
  lastSightings = now;
  at("none").hidden = all.length > 0;
  const moment = Date.now();
  at("sightings").replaceChildren(...all.map((s) => sightingItem(s, moment)));
}

async function every(seconds, work) {
  for (;;) {
    if (visible()) await work();
    await sleep(seconds * 1000);
  }
}

every(2, async () => {
  try {
    showStatus(await (await fetched(`${API}/status`, 5)).json());
  } catch (error) {
    at("top").dataset.severity = "critical";
    put(at("summary"), `no connection to the boat: ${error.message}`);
  }
});

every(4, async () => {
  try {
    showSightings(await (await fetched(`${API}/sightings`, 5)).json());
  } catch { /* the status above reports it */ }
});

every(0.5, async () => {
  const number = camera;
  try {
    const picture = await (await fetched(`${API}/cameras/${number}/preview.jpg`, 8)).blob();
    if (number !== camera) return;
    const preview = at("preview");
    const before = preview.src;
    preview.src = URL.createObjectURL(picture);
    preview.hidden = false;
    put(at("no-preview"), "");
    if (before.startsWith("blob:")) URL.revokeObjectURL(before);
  } catch (error) {
    if (number === camera) put(at("no-preview"), error.message);
    await sleep(1500);
  }
});
