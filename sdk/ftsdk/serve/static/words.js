// Text for people: what the numbers mean, and the report with its region names to click.

export const percent = (share) => `${Number((100 * share).toFixed(1))}%`;

/** Say what the score means, and what it does not. */
export function scoreNote(answer) {
  if (answer.score === null) {
    return "This model gives no overall score: it says where a manipulation would be, not whether there is one.";
  }
  const rate = Number(/^fpr_(.+)$/.exec(answer.operating_point ?? "")?.[1]);
  const meaning = rate
    ? ` At that threshold it also suspected ${percent(rate)} of the untouched pictures it was calibrated on.`
    : "";
  return `The score is a calibrated likelihood, not proof. From ${answer.score_threshold.toFixed(2)} on, this model calls a picture suspicious.${meaning}`;
}

/** Fill `target` with the text; every name of `labels` becomes a button that calls `onTerm`. */
export function linkTerms(target, text, labels, onTerm) {
  target.textContent = "";
  if (!labels.length) return void target.append(text);
  const names = [...labels].sort((a, b) => b.length - a.length).join("|");
  const pattern = new RegExp(`\\b(${names})(e?s)?\\b`, "gi");
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    target.append(text.slice(from, match.index));
    const term = document.createElement("button");
    term.type = "button";
    term.className = "term";
    term.textContent = match[0];
    term.dataset.region = match[1].toLowerCase();
    term.setAttribute("aria-pressed", "false");
    term.addEventListener("click", () => onTerm(term.dataset.region));
    target.append(term);
    from = match.index + match[0].length;
  }
  target.append(text.slice(from));
}

/** Put an error in words: what, and what to do. */
export function explain(error) {
  const detail = error.detail;
  if (!detail) return error instanceof TypeError ? "The service cannot be reached." : error.message;
  const sentence = detail.what.replace(/\.?$/, ".");
  return `${sentence[0].toUpperCase()}${sentence.slice(1)}\nExpected: ${detail.expected}\nFound: ${detail.found}`;
}
