// Text for people: what the numbers mean, and the report with its region names to click.

export const percent = (share) => `${Number((100 * share).toFixed(1))}%`;

/** Say what the score means, and what it does not. */
export function scoreNote(answer) {
  if (answer.cannot_tell) {
    return "There is no score, no mask and no text: the model was not made for this picture.";
  }
  if (answer.score === null) {
    return "This model gives no overall score: it says where a manipulation would be, not whether there is one.";
  }
  const rate = Number(/^fpr_(.+)$/.exec(answer.operating_point ?? "")?.[1]);
  const meaning = rate
    ? ` At that threshold it also suspected ${percent(rate)} of the untouched pictures it was calibrated on.`
    : "";
  return `The score is a calibrated likelihood, not proof. From ${answer.score_threshold.toFixed(2)} on, this model calls a picture suspicious.${meaning}`;
}

/** List where `text` speaks of regions: [start, end, region]; `words` is `region_words` of the API. */
export function findTerms(text, words) {
  const region = new Map(Object.entries(words).flatMap(([name, forms]) => forms.map((word) => [word, name])));
  return [...text.matchAll(/[a-z]+/gi)]
    .filter((match) => region.has(match[0].toLowerCase()))
    .map((match) => [match.index, match.index + match[0].length, region.get(match[0].toLowerCase())]);
}

/** Fill `target` with the text; every word that speaks of a region becomes a button for `onTerm`. */
export function linkTerms(target, text, words, onTerm) {
  target.textContent = "";
  let from = 0;
  for (const [start, end, region] of findTerms(text, words)) {
    target.append(text.slice(from, start));
    const term = document.createElement("button");
    term.type = "button";
    term.className = "term";
    term.textContent = text.slice(start, end);
    term.dataset.region = region;
    term.setAttribute("aria-pressed", "false");
    term.addEventListener("click", () => onTerm(region));
    target.append(term);
    from = end;
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
