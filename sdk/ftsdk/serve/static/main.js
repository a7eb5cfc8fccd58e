// The page: pictures come in, answers arrive, the user corrects.

import { ApiError, json, post, request, stream } from "./api.js";
import { startCorrecting, stopCorrecting, takeCorrection } from "./correct.js";
import { decodeGrey } from "./grid.js";
import { fetchKept, forgetKept, forgetOne, theme } from "./kept.js";
import { $, copyText, showStrip } from "./panel.js";
import { announce, busy, light, panel, peek, say, setThreshold, setTool, state, viewer } from "./view.js";
import { explain } from "./words.js";

const KEPT = "ftsdk.items";
const MAX_TRIES = 6;

const { items } = state;
let pumping = false;

// Pictures in

function add(files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || /\.(jpe?g|png|webp)$/i.test(file.name));
  for (const file of pictures) {
    const item = { name: file.name || "pasted picture", file, url: URL.createObjectURL(file), status: "waiting", text: "" };
    items.push(item);
    if (!state.current || file === pictures[0]) select(item);
  }
  if (!pictures.length && files.length) say("That is no picture.");
  renderStrip();
  pump();
}

async function pump() {
  if (pumping) return;
  pumping = true;
  for (let item; (item = items.find((candidate) => candidate.status === "waiting")); ) await analyze(item);
  pumping = false;
}

async function analyze(item) {
  item.status = "working";
  renderStrip();
  await ready;
  const limit = state.model.service.max_bytes;
  if (item.file.size > limit) return fail(item, new Error(`The file is larger than ${Math.round(limit / 1e6)} MB, which is what this service takes.`));
  const options = { method: "POST", body: item.file, headers: { "Content-Type": item.file.type || "application/octet-stream" } };
  return follow(item, `v1/analyze/stream?name=${encodeURIComponent(item.name)}`, options);
}

/** Show a stream's events as they come; wait and try again while the service is full. */
async function follow(item, path, options) {
  item.abort = new AbortController();
  for (let tries = 1; ; tries += 1) {
    try {
      busy(item, "Looking at the picture…");
      for await (const { kind, data } of stream(path, { ...options, signal: item.abort.signal })) {
        await HANDLERS[kind]?.(item, data);
      }
      return item.status === "done" ? undefined : fail(item, new Error("The answer broke off."));
    } catch (error) {
      if (error.name === "AbortError") return fail(item, new Error("Stopped."));
      if (error instanceof ApiError && [429, 503].includes(error.status) && tries < MAX_TRIES) {
        const seconds = error.retryAfter || 2;
        busy(item, `The service is busy; trying again in ${seconds} s…`);
        await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
      } else return fail(item, error);
    }
  }
}

const HANDLERS = {
  async regions(item, data) {
    item.regions = data.regions;
    busy(item, "Marking where…");
    if (item !== state.current) return;
    panel.regions(item.regions);
    announce(data.regions.length ? `Regions: ${data.regions.map((region) => region.name).join(", ")}` : "No region stands out");
  },
  async mask(item, data) {
    const bytes = Uint8Array.from(atob(data.probabilities_png), (character) => character.charCodeAt(0));
    item.field = await decodeGrey(new Blob([bytes], { type: "image/png" }));
    item.regions = data.regions;
    busy(item, "Writing why…");
    if (item !== state.current) return;
    if (viewer.image) viewer.setField(item.field);
    announce("The mask is drawn");
  },
  async token(item, data) {
    item.text += data.text;
    if (item === state.current) panel.text(item.text, true);
  },
  async finished(item, data) {
    item.answer = data;
    item.text = data.report ?? "";
    item.regions = data.regions;
    item.status = "done";
    item.error = null;
    busy(item, "");
    remember();
    renderStrip();
    if (item !== state.current) return;
    finished(item);
    announce(`${data.finding} ${item.text}`);
  },
};

function finished(item) {
  viewer.face = item.answer.face;
  panel.verdict(item.answer);
  panel.finished(item.answer);
  history.replaceState(null, "", `#${item.answer.id}`);
}

function fail(item, error) {
  item.status = item.answer ? "done" : "failed";
  item.error = explain(error);
  busy(item, "");
  renderStrip();
  if (item !== state.current) return;
  panel.problem(item.error);
  if (item.answer) return restore(item);
  if (!item.regions) $("chips").textContent = "";
  panel.text("\u2013", false);
}

// Which picture is shown

async function select(item) {
  state.current = item;
  document.body.classList.remove("correcting");
  $("empty").hidden = true;
  $("work").hidden = $("add").hidden = false;
  setTool("move");
  viewer.clear();
  $("work").classList.remove("unseen");
  panel.show(item);
  light(null);
  renderStrip();
  busy(item, item.busy ?? "");
  $("canvas").setAttribute("aria-label", `The picture ${item.name}`);
  document.title = `${item.name}: ftsdk`;
  const image = await loadImage(item).catch(() => null); // the service says what is wrong with it
  if (item !== state.current) return void image?.close();
  if (!image) return void $("work").classList.add("unseen");
  viewer.setImage(image);
  setThreshold(item.answer?.mask.threshold ?? state.model?.mask_threshold ?? 0.5);
  if (item.field) viewer.setField(item.field);
  if (item.answer) finished(item);
}

async function loadImage(item) {
  const blob = item.file ?? (await (await request(item.url)).blob());
  return createImageBitmap(blob);
}

/** Show an item's answer again, as it is. */
function restore(item) {
  viewer.forget();
  panel.show(item);
  if (item.field) viewer.setField(item.field);
  if (item.answer) finished(item);
}

function renderStrip() {
  showStrip(items, state.current, select);
}

const ownsKeys = (target) => target.closest("input, button, a, summary, textarea, dialog");

// Corrections

async function refine(event) {
  event.preventDefault();
  const item = state.current;
  const wish = takeCorrection();
  item.status = "working";
  item.text = "";
  panel.text("", true);
  await follow(item, "v1/refine/stream", post(wish));
}

/** Return to the answer that the last correction was made of. */
async function takeBack() {
  const item = state.current;
  try {
    const corrected = item.answer;
    const kept = await fetchKept(corrected.parent);
    await forgetOne(corrected.id);
    Object.assign(item, kept, { file: item.file, url: item.url, error: null });
    remember();
    if (item === state.current) restore(item);
  } catch (error) {
    panel.problem(explain(error));
  }
}

// What outlives a reload

function remember() {
  const kept = items.filter((item) => item.answer).map((item) => ({ id: item.answer.id, name: item.name }));
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
}

async function recall() {
  const wanted = location.hash.slice(1);
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  if (wanted && !kept.some((entry) => entry.id === wanted)) kept.push({ id: wanted });
  for (const { id } of kept) {
    try {
      items.push(await fetchKept(id));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (id === wanted) say("That analysis is no longer kept. Analyse the picture again.");
    }
  }
  remember();
  if (state.current) return; // a picture came in meanwhile
  if (items.length) await select(items.find((item) => item.answer.id === wanted) ?? items[0]);
  else if (wanted) history.replaceState(null, "", "./");
}

async function forget() {
  const item = state.current;
  try {
    await forgetKept(item.answer);
  } catch (error) {
    return panel.problem(explain(error));
  }
  items.splice(items.indexOf(item), 1);
  remember();
  if (items.length) return select(items[0]);
  return home();
}

function home() {
  history.replaceState(null, "", "./");
  state.current = null;
  $("work").hidden = $("add").hidden = true;
  $("empty").hidden = false;
  document.title = "ftsdk: picture analysis";
  $("choose").focus();
}

// Start

async function loadModel() {
  for (;;) {
    try {
      state.model = await json("v1/model");
      break;
    } catch (error) {
      if (error.status !== 503) throw error;
      $("model").textContent = "warming up…";
      $("model").hidden = false;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
  panel.labels = state.model.labels;
  panel.words = state.model.region_words;
  $("model").textContent = `${state.model.bundle} on ${state.model.device}`;
  $("model").hidden = false;
  if (!state.current?.answer) setThreshold(state.model.mask_threshold);
}

$("choose").onclick = $("add").onclick = () => $("file").click();
$("file").onchange = (event) => { add(event.target.files); event.target.value = ""; };
$("sample").onclick = async () => {
  const blob = await (await fetch("static/sample.jpg")).blob();
  add([new File([blob], "sample.jpg", { type: "image/jpeg" })]);
};
$("home").onclick = (event) => { event.preventDefault(); home(); };
$("theme").onclick = () => theme(1);
$("modes").onchange = (event) => viewer.set({ mode: event.target.value });
$("opacity").oninput = (event) => {
  $("opacity-value").textContent = `${event.target.value}%`;
  viewer.set({ opacity: event.target.value / 100 });
};
$("threshold").oninput = (event) => setThreshold(event.target.value / 100);
$("zoom-in").onclick = () => viewer.zoom(1.4);
$("zoom-out").onclick = () => viewer.zoom(1 / 1.4);
$("zoom-fit").onclick = () => viewer.fit();
$("correct").onclick = startCorrecting;
$("cancel").onclick = stopCorrecting;
$("correction").onsubmit = refine;
$("correction").onchange = (event) => event.target.name === "tool" && viewer.set({ tool: event.target.value });
$("brush").oninput = (event) => viewer.set({ brush: Number(event.target.value) });
$("undo").onclick = () => viewer.undo();
$("clear").onclick = () => viewer.erase();
$("forget").onclick = forget;
$("stop").onclick = () => state.current.abort.abort();
$("back").onclick = takeBack;
$("analyst").value = sessionStorage.getItem("ftsdk.analyst") ?? "";
$("analyst").oninput = (event) => {
  sessionStorage.setItem("ftsdk.analyst", event.target.value);
  panel.links(state.current.answer);
};
$("copy").onclick = () => copyText(state.current.answer);

addEventListener("keydown", (event) => {
  if (event.key === " " && !ownsKeys(event.target) && state.current) { event.preventDefault(); peek(true); }
  if (event.key === "Escape") light(null, true);
});
addEventListener("keyup", (event) => event.key === " " && peek(false));
addEventListener("blur", () => peek(false));
addEventListener("paste", (event) => event.clipboardData.files.length && add(event.clipboardData.files));
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dragging"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  add(event.dataTransfer.files);
});

theme();
const ready = loadModel();
ready.then(recall).catch((error) => say(explain(error)));
