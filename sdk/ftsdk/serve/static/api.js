// The service, as functions. Failures become ApiError, with the service's own words.

export class ApiError extends Error {
  constructor(status, detail, retryAfter) {
    super(detail?.what ?? `The service answered ${status}.`);
    this.status = status;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

let askForToken = async () => {};

/** Register what is called, and awaited, when the service asks for a token. */
export function onTokenNeeded(callback) {
  askForToken = callback;
}

export async function request(path, options = {}) {
  for (;;) {
    const response = await fetch(path, options);
    if (response.ok) return response;
    if (response.status === 401 && !path.endsWith("session")) {
      await askForToken();
      continue;
    }
    const body = await response.json().catch(() => null);
    throw new ApiError(response.status, body?.error, Number(response.headers.get("Retry-After")));
  }
}

export const json = async (path, options) => (await request(path, options)).json();

export const post = (value) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(value),
});

/** Yield {kind, data} for each Server-Sent Event of a POST. */
export async function* stream(path, options) {
  const response = await request(path, options);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      buffer += value;
      const events = buffer.split("\n\n");
      buffer = events.pop();
      for (const event of events) {
        const [, kind, data] = event.match(/^event: (\w+)\ndata: (.*)$/s) ?? [];
        if (kind === "error") throw new ApiError(500, JSON.parse(data).error);
        if (kind) yield { kind, data: JSON.parse(data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
