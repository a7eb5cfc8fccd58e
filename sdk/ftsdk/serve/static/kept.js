// What is neither picture nor answer: kept analyses, the colour theme, signing in.

import { json, onTokenNeeded, post, request } from "./api.js";
import { decodeGrey } from "./grid.js";
import { $ } from "./panel.js";
import { explain } from "./words.js";

const THEMES = ["auto", "light", "dark"];

/** Return a kept analysis as the page's item. */
export async function fetchKept(id) {
  const base = `v1/analyses/${encodeURIComponent(id)}`;
  const answer = await json(base);
  const field = await decodeGrey(await (await request(`${base}/probabilities.png`)).blob());
  const { name } = answer.picture;
  return { name, url: `${base}/picture.png`, status: "done", text: answer.report ?? "", regions: answer.regions, answer, field };
}

/** Have the service forget an answer; that it is gone already is no error. */
export async function forgetOne(id) {
  try {
    await request(`v1/analyses/${id}`, { method: "DELETE" });
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}

/** Have the service forget an answer and all that it is a correction of. */
export async function forgetKept(answer) {
  for (let { id, parent } = answer; id; ) {
    const before = parent && (await json(`v1/analyses/${parent}`).catch(() => null));
    await forgetOne(id);
    [id, parent] = [before?.id, before?.parent];
  }
}

/** Show the colour theme that was chosen last, or `step` further. */
export function theme(step = 0) {
  const at = (THEMES.indexOf(localStorage.getItem("ftsdk.theme") ?? "auto") + step) % THEMES.length;
  localStorage.setItem("ftsdk.theme", THEMES[at]);
  document.documentElement.dataset.theme = THEMES[at];
  $("theme").textContent = `Theme: ${THEMES[at]}`;
}

function login() {
  const dialog = $("login");
  dialog.showModal();
  return new Promise((resolve) => {
    $("login-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        await request("v1/session", post({ token: $("token").value.trim() }));
        dialog.close();
        resolve();
      } catch (error) {
        $("login-problem").textContent = error.status === 401 ? "That is another token." : explain(error);
        $("login-problem").hidden = false;
      }
    };
  });
}

let signingIn = null;
onTokenNeeded(() => (signingIn ??= login().finally(() => (signingIn = null))));
