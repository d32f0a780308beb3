// Calls the service, with the visitor's key if there is one. A problem in an answer becomes an ApiError with its text.

const STORE = "audio-dcls-key";
let key = sessionStorage.getItem(STORE) ?? localStorage.getItem(STORE) ?? "";
let asking = null;

export class ApiError extends Error {
  constructor(problem, status) {
    super(problem.detail ?? problem.title ?? `status ${status}`);
    this.status = status;
    this.code = problem.code;
  }
}

export function currentKey() {
  return key;
}

// Cancel is not a submit button, because Enter in a field presses the first submit button.
for (const button of document.querySelectorAll("dialog [data-cancel]")) {
  button.addEventListener("click", () => button.closest("dialog").close("cancel"));
}

export function askForKey(isWrong = false) {
  if (asking) return asking;
  document.getElementById("key-wrong").hidden = !isWrong;
  document.getElementById("key-button").hidden = false; // after Cancel, this button opens the dialog again
  const dialog = document.getElementById("key-dialog");
  const input = document.getElementById("key-input");
  input.value = "";
  dialog.returnValue = "cancel";
  dialog.showModal();
  asking = new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      asking = null;
      if (dialog.returnValue !== "use" || !input.value.trim()) return resolve(false);
      key = input.value.trim();
      sessionStorage.setItem(STORE, key);
      if (document.getElementById("key-keep").checked) localStorage.setItem(STORE, key);
      else localStorage.removeItem(STORE);
      resolve(true);
    }, { once: true });
  });
  return asking;
}

async function send(method, path, { query, body, json, signal } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") url.searchParams.append(name, one);
    }
  }
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url, { method, headers, signal, body: json === undefined ? body : JSON.stringify(json) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ detail: "The service does not answer. Is it running?" }, 0);
  }
  if (response.status === 401 && (await askForKey(key !== ""))) return send(method, path, { query, body, json, signal });
  if (response.ok) return response;
  if (response.status === 401) throw new ApiError({ detail: "This service needs an API key; press the key button above." }, 401);
  throw new ApiError(await response.json().catch(() => ({ detail: response.statusText })), response.status);
}

export async function call(method, path, options) {
  const response = await send(method, path, options);
  if (response.status === 204) return null;
  return (response.headers.get("content-type") ?? "").includes("json") ? response.json() : response.text();
}

// Reads server-sent events with fetch, which can send the key. After a broken connection it continues after the last event.
export async function listen(path, take, signal) {
  let last = null;
  let wait = 500;
  while (!signal.aborted) {
    try {
      const headers = { Accept: "text/event-stream", ...(key && { Authorization: `Bearer ${key}` }) };
      if (last !== null) headers["Last-Event-ID"] = last;
      const response = await fetch(path, { headers, signal });
      if (!response.ok) throw new ApiError(await response.json().catch(() => ({})), response.status);
      wait = 500;
      for await (const event of parsed(response.body)) {
        if (event.id !== undefined) last = event.id;
        if (event.event === "end") return take(event.event, null);
        if (event.data) take(event.event, JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted || (error.status >= 400 && error.status < 500)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 2, 8000);
  }
}

async function* parsed(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value.replaceAll("\r\n", "\n");
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { event: "message", data: "" };
      for (const line of block.split("\n")) {
        const place = line.indexOf(":");
        if (place < 1) continue;
        const name = line.slice(0, place);
        const text = line.slice(place + 1).replace(/^ /, "");
        if (name === "data") event.data += (event.data && "\n") + text;
        else event[name] = text;
      }
      yield event;
    }
  }
}
