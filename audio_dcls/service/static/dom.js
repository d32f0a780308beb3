// Helpers of the page: elements, numbers for people, toasts and questions.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "style") node.setAttribute("style", value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function svgIcon(path) {
  const holder = document.createElement("span");
  holder.className = "glyph";
  holder.setAttribute("aria-hidden", "true");
  holder.innerHTML = `<svg viewBox="0 0 24 24"><path d="${path}" fill="currentColor"/></svg>`;
  return holder;
}

export const icons = {
  play: "M7 4.5v15l13-7.5Z",
  pause: "M6 4.5h4v15H6Zm8 0h4v15h-4Z",
  mic: "M12 14a3 3 0 0 0 3-3V6a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3Zm5-3a5 5 0 0 1-10 0H5a7 7 0 0 0 6 6.9V21h2v-3.1A7 7 0 0 0 19 11Z",
  stop: "M6 6h12v12H6Z",
  live: "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6Zm-5.6-1.6L5 6a8.5 8.5 0 0 0 0 12l1.4-1.4a6.5 6.5 0 0 1 0-9.2Zm11.2 0a6.5 6.5 0 0 1 0 9.2L19 18a8.5 8.5 0 0 0 0-12Z",
};

export function seconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  const minutes = Math.round(value / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

export function clock(value) {
  const tenths = Math.round(10 * value);
  const whole = Math.floor(tenths / 10);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}.${tenths % 10}`;
}

export function fixed(value, digits = 3) {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits);
}

export function when(text) {
  return text ? new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "–";
}

export function toast(text, kind = "ok") {
  const note = el("div", { class: `toast ${kind}` }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), kind === "bad" ? 9000 : 4000);
}

// Asks a question in a dialog. Resolves to true or to the text, and to null after Cancel.
export function ask({ title, text = "", yes = "OK", label = null, value = "", testid = null, danger = false }) {
  const dialog = document.getElementById("ask-dialog");
  const input = document.getElementById("ask-input");
  const wrap = document.getElementById("ask-label");
  const button = document.getElementById("ask-yes");
  document.getElementById("ask-title").textContent = title;
  document.getElementById("ask-text").textContent = text;
  wrap.hidden = label === null;
  wrap.querySelector("span").textContent = label ?? "";
  input.required = label !== null;
  input.value = value;
  if (testid) input.dataset.testid = testid;
  button.textContent = yes;
  button.classList.toggle("danger", danger);
  dialog.returnValue = "cancel";
  dialog.showModal();
  if (label !== null) input.select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      if (dialog.returnValue !== "yes") resolve(null);
      else resolve(label === null ? true : input.value.trim());
    }, { once: true });
  });
}

export function busy(button, promise) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  return promise.finally(() => {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  });
}

export function problemBox(text) {
  return el("p", { class: "problem", role: "alert", dataset: { testid: "error-message" } }, text);
}

export function empty(title, text, ...actions) {
  return el("div", { class: "empty" }, el("h2", {}, title), el("p", {}, text), el("div", { class: "actions" }, ...actions));
}
