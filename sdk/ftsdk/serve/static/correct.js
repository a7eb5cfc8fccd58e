// Corrections: regions switched on and off, a painted mask, and the request that they make.

import { runLengths } from "./grid.js";
import { $ } from "./panel.js";
import { light, panel, setTool, state, viewer } from "./view.js";

export function startCorrecting() {
  panel.toggles(state.current.answer);
  open(true);
  $("correction").scrollIntoView({ block: "start", behavior: "smooth" });
  $("toggles").firstElementChild?.focus({ preventScroll: true });
}

export function stopCorrecting() {
  viewer.discardPaint();
  open(false);
  $("correct").focus();
}

/** Return the correction as the service takes it, and close the form. */
export function takeCorrection() {
  const { answer } = state.current;
  const wish = { id: answer.id };
  const chosen = panel.toggled;
  const before = answer.regions.map((region) => region.name);
  if (chosen.join() !== before.join() || !viewer.painted) wish.regions = chosen;
  if (viewer.painted) {
    const { width, height } = viewer.painted;
    wish.mask = { width, height, run_lengths: runLengths(viewer.painted) };
  }
  const name = $("analyst").value.trim();
  if (name) wish.by = name;
  open(false);
  $("actions").hidden = true;
  return wish;
}

function open(on) {
  $("actions").hidden = on;
  $("correction").hidden = !on;
  document.body.classList.toggle("correcting", on);
  light(null);
  setTool("move");
}
