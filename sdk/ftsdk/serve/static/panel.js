// The answer beside the picture: finding, chips, words, facts.

import { linkTerms, percent, scoreNote } from "./words.js";

export const $ = (id) => document.getElementById(id);

const element = (tag, text, className = "") =>
  Object.assign(document.createElement(tag), { textContent: text, className });

export class Panel {
  constructor(onRegion) {
    this.onRegion = onRegion;
    this.labels = [];
    this.words = {};
  }

  /** Show everything that is known of an item; called once when it is selected. */
  show(item) {
    this.problem(item.error);
    this.regions(item.regions);
    this.text(item.text, item.status === "working" && item.text !== "");
    this.verdict(item.answer);
    $("actions").hidden = $("about").hidden = !item.answer;
    $("correction").hidden = true;
    if (item.answer) this.finished(item.answer);
  }

  problem(text) {
    $("problem").hidden = !text;
    $("problem").textContent = text ?? "";
  }

  regions(regions) {
    const chips = $("chips");
    chips.textContent = "";
    $("chips-hint").hidden = !regions?.length;
    if (!regions) chips.append(element("p", "Looking…", "waiting"));
    else if (!regions.length) chips.append(element("p", "No region stands out.", "waiting"));
    for (const region of regions ?? []) chips.append(this.chip(region));
  }

  chip(region) {
    const chip = element("button", `${region.name} `);
    chip.type = "button";
    chip.dataset.region = region.name;
    chip.setAttribute("aria-pressed", "false");
    chip.style.setProperty("--share", percent(region.probability));
    chip.append(element("small", region.probability.toFixed(2)));
    chip.addEventListener("click", () => this.onRegion(region.name));
    return chip;
  }

  /** Mark a region's chip and its words; null marks none. */
  mark(name) {
    for (const button of document.querySelectorAll("#chips button, .term")) {
      button.setAttribute("aria-pressed", String(button.dataset.region === name));
    }
  }

  text(text, writing) {
    const report = $("report");
    report.setAttribute("aria-busy", String(writing));
    report.textContent = text;
    $("others").hidden = true;
    if (!text) report.append(element("span", "The words come after the mask.", "waiting"));
  }

  verdict(answer) {
    $("verdict").hidden = !answer;
    if (!answer) return;
    $("finding").textContent = answer.finding;
    const last = answer.edits.at(-1);
    const who = last?.by ? ` by ${last.by}` : "";
    $("corrected").hidden = !answer.corrections.length;
    $("back").hidden = !answer.parent;
    $("corrected-text").textContent = `Corrected${who}: ${answer.corrections.join(" and ")}. The text was written for these.`;
    $("score").hidden = answer.score === null;
    if (answer.score !== null) {
      $("score-fill").style.width = percent(answer.score);
      $("score-mark").style.left = percent(answer.score_threshold);
      $("score-text").textContent = `Score ${answer.score.toFixed(2)}; suspicious from ${answer.score_threshold.toFixed(2)}`;
    }
    $("score-note").textContent = scoreNote(answer);
  }

  finished(answer) {
    $("report").setAttribute("aria-busy", "false");
    const unwritten = answer.cannot_tell ? "" : "The model wrote nothing.";
    linkTerms($("report"), answer.report || unwritten, this.words, this.onRegion);
    $("others").hidden = !answer.others.length;
    $("others").replaceChildren(...answer.others.map((other) => element("li", `${other.finding} ${other.report ?? ""}`)));
    $("actions").hidden = false;
    $("correct").hidden = Boolean(answer.cannot_tell); // there is nothing to correct
    if (answer.cannot_tell) $("chips").textContent = "";
    this.links(answer);
    this.about(answer);
  }

  links(answer) {
    const base = `v1/analyses/${answer.id}`;
    const analyst = encodeURIComponent($("analyst").value.trim());
    const report = `${base}/report.html?${analyst ? `analyst=${analyst}&` : ""}`;
    const stem = answer.picture.name.replace(/\.\w+$/, "");
    $("open-report").href = report.slice(0, -1);
    $("save-report").href = `${report}download=true`;
    $("save-report").download = `${stem}.report.html`;
    $("save-json").href = base;
    $("save-json").download = `${stem}.json`;
    $("save-overlay").download = `${stem}.overlay.png`;
    this.overlayLink(answer);
  }

  overlayLink(answer, threshold = answer.mask.threshold) {
    $("save-overlay").href = `v1/analyses/${answer.id}/overlay.png?threshold=${threshold}`;
  }

  about(answer) {
    $("about").hidden = false;
    $("limits").replaceChildren(...answer.warnings.map((line) => element("li", line)));
    const made = answer.provenance;
    const facts = {
      Picture: `${answer.picture.name}, ${answer.picture.width} × ${answer.picture.height} px`,
      "Content Credentials": answer.content_credentials.note,
      Model: `${made.bundle}, ${made.precision}`,
      Device: `${made.device}, ${made.runtime}`,
      Time: `${Math.round(answer.timings_ms.total)} ms`,
      "SHA-256": answer.picture.sha256,
    };
    $("facts").replaceChildren(
      ...Object.entries(facts).flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
    );
  }

  /** Fill the correction's switches: all labels, the chosen ones on. */
  toggles(answer) {
    const chosen = new Set(answer.regions.map((region) => region.name));
    const switches = this.labels.map((name) => {
      const button = element("button", `${name} `);
      button.type = "button";
      button.dataset.region = name;
      button.setAttribute("aria-pressed", String(chosen.has(name)));
      button.append(element("small", answer.region_probabilities[name].toFixed(2)));
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        this.onRegion(name, true);
      });
      return button;
    });
    $("toggles").replaceChildren(...switches);
  }

  get toggled() {
    return [...document.querySelectorAll('#toggles [aria-pressed="true"]')].map((button) => button.dataset.region);
  }
}

/** Show a thumbnail of each picture where there are several. */
export function showStrip(items, current, select) {
  const strip = $("strip");
  strip.hidden = items.length < 2;
  strip.replaceChildren(...items.map((item) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = item.status;
    button.setAttribute("aria-label", `${item.name}, ${item.status}`);
    if (item === current) button.setAttribute("aria-current", "true");
    const image = Object.assign(document.createElement("img"), { src: item.url, alt: "" });
    image.addEventListener("error", () => image.remove());
    button.append(image, document.createElement("i"));
    button.addEventListener("click", () => select(item));
    return button;
  }));
}

/** Copy finding, report and limits. */
export async function copyText(answer) {
  const others = answer.others.map((other) => `${other.finding} ${other.report ?? ""}`);
  const lines = [answer.finding, answer.report ?? "", ...others, ...answer.warnings];
  await navigator.clipboard.writeText(lines.filter(Boolean).join("\n\n"));
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy text"), 1500);
}
