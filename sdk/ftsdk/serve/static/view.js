// What is shown: the state of the page, its viewer and its panel, and the controls of both.

import { $, Panel } from "./panel.js";
import { Viewer } from "./viewer.js";
import { percent } from "./words.js";

/** The pictures in order of arrival, the one that is shown, and what the service runs. */
export const state = { items: [], current: null, model: null };
export const panel = new Panel(light);
export const viewer = new Viewer($("canvas"), showCoverage);

/** Light up a region's place and its words; a second time puts it out, unless `always`. */
export function light(name, always = false) {
  viewer.places = state.model?.places;
  viewer.highlight = !always && viewer.highlight === name ? null : name;
  panel.mark(viewer.highlight);
  viewer.draw();
}

export function setThreshold(value) {
  $("threshold").value = Math.round(100 * value);
  $("threshold-value").textContent = value.toFixed(2);
  viewer.set({ threshold: value });
  if (state.current?.answer) panel.overlayLink(state.current.answer, value);
}

export function setTool(tool) {
  document.querySelector(`input[name=tool][value=${tool}]`).checked = true;
  viewer.set({ tool });
}

/** Show the picture alone for as long as `on`. */
export function peek(on) {
  if (viewer.peeking === on) return;
  viewer.peeking = on;
  viewer.draw();
}

export function busy(item, text) {
  item.busy = text;
  if (item !== state.current) return;
  $("busy").hidden = !text;
  $("busy-text").textContent = text;
}

/** Tell a screen reader. */
export function announce(text) {
  $("live").textContent = text;
}

/** Tell what is wrong, wherever the user is looking. */
export function say(text) {
  if (!$("work").hidden) return panel.problem(text);
  document.querySelector(".lead").textContent = text;
  return announce(text);
}

function showCoverage() {
  const share = viewer.coverage;
  const usual = state.current?.answer?.mask.threshold ?? viewer.threshold;
  const unchanged = !viewer.painted && Math.abs(viewer.threshold - usual) < 0.005;
  const what = viewer.painted ? "The painted mask" : "At this threshold the mask";
  $("coverage").textContent = share === null || unchanged ? "" : `${what} covers ${percent(share)} of the picture.`;
}
