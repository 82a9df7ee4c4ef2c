"use strict";
// All that comes from the boat is put in as text, never as markup. Nothing is asked for while nobody looks at the page.

const at = (id) => document.getElementById(id);
const looking = () => document.visibilityState === "visible";
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

let camera = 0;
let cameras = [];
let shown = null;

async function fetched(path, seconds) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(seconds * 1000) });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `the boat answers ${answer.status}`);
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
  at("snapshot").href = `/cameras/${number}/snapshot.jpg`;
  for (const button of at("cameras").children) button.setAttribute("aria-pressed", button.dataset.number === String(number));
  at("view").hidden = true;
  put(at("no-view"), "no picture yet");
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

function showCondition(condition) {
  put(at("boat"), condition.boat);
  document.title = `${condition.boat} · Flukewatch on board`;
  at("top").dataset.level = condition.level;
  const troubles = condition.lines.filter((line) => line.level !== "good");
  const well = { good: "all is well", warning: "works; look at", fault: "fault:" }[condition.level];
  put(at("summary"), troubles.length ? `${well} ${troubles.map((line) => line.about).join(", ")}` : well);
  at("lines").replaceChildren(...condition.lines.map((line) => {
    const item = document.createElement("li");
    item.dataset.level = line.level;
    const about = item.appendChild(document.createElement("strong"));
    about.textContent = line.about;
    item.appendChild(document.createElement("span")).textContent = line.words;
    return item;
  }));
  put(at("version"), `Flukewatch ${condition.version}, written ${condition.written}`);
  showCameras(condition.cameras);
}

function sightingItem(s, now) {
  const item = at("sighting").content.cloneNode(true).firstElementChild;
  const find = (selector) => item.querySelector(selector);
  const picture = `/sightings/${s.id}.jpg`;
  find(".crop").href = picture;
  find("img").src = picture;
  find("img").alt = `the fluke of sighting ${s.sequence}`;
  put(find("strong"), s.whale ?? { new: "a new whale", review: "for a person to say" }[s.verdict] ?? s.verdict);
  const verdict = find(".verdict");
  put(verdict, s.verdict);
  verdict.dataset.is = s.verdict;
  const chance = s.chance === null ? "" : `, chance ${Math.round(s.chance * 100)} %`;
  const candidates = s.candidates.slice(0, 3).map((c) => `${c.whale} ${c.score.toFixed(2)}`).join(", ");
  put(find(".candidates"), candidates ? `nearest: ${candidates}${chance}` : "nothing to compare with");
  const place = s.position ? `${s.position[0].toFixed(4)}, ${s.position[1].toFixed(4)}` : "place not known";
  const seconds = (now - Date.parse(s.started)) / 1000;
  const date = s.started.replace("T", " ").replace(/\.\d+Z$/, " UTC");
  put(find(".where"), `#${s.sequence} · ${date} (${ago(seconds)}) · ${s.seconds.toFixed(1)} s, ${s.frames} frames · ${s.camera} · ${place}`);
  const shore = find(".shore");
  const there = s.receipted && s.picture_receipted;
  put(shore, there ? "✓ shore has it" : s.receipted ? "shore has it, its picture waits" : "waits for shore");
  shore.dataset.is = there ? "there" : "waits";
  return item;
}

function showSightings(all) {
  const now = JSON.stringify(all);
  if (now === shown) return;
  shown = now;
  at("none").hidden = all.length > 0;
  const moment = Date.now();
  at("sightings").replaceChildren(...all.map((s) => sightingItem(s, moment)));
}

async function every(seconds, work) {
  for (;;) {
    if (looking()) await work();
    await sleep(seconds * 1000);
  }
}

every(2, async () => {
  try {
    showCondition(await (await fetched("/condition.json", 5)).json());
  } catch (error) {
    at("top").dataset.level = "fault";
    put(at("summary"), `no word from the boat: ${error.message}`);
  }
});

every(4, async () => {
  try {
    showSightings(await (await fetched("/sightings.json", 5)).json());
  } catch { /* the line above says what is wrong */ }
});

every(0.5, async () => {
  const number = camera;
  try {
    const picture = await (await fetched(`/cameras/${number}/view.jpg`, 8)).blob();
    if (number !== camera) return;
    const view = at("view");
    const before = view.src;
    view.src = URL.createObjectURL(picture);
    view.hidden = false;
    put(at("no-view"), "");
    if (before.startsWith("blob:")) URL.revokeObjectURL(before);
  } catch (error) {
    if (number === camera) put(at("no-view"), error.message);
    await sleep(1500);
  }
});
