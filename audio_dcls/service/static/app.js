// The page: it shows the view that the address names, and holds the theme button and the key button.

import { askForKey, call, currentKey } from "./api.js";
import { el, problemBox, toast } from "./dom.js";
import { modelsView } from "./models.js";
import { runView } from "./run.js";
import { runsView } from "./runs.js";
import { tagView } from "./tag.js";

const view = document.getElementById("view");
let leave = null;

async function show() {
  const [, name = "tag", id] = location.hash.split("?")[0].split("/");
  leave?.abort();
  const left = (leave = new AbortController());
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.hash === `#/${name || "tag"}`;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  view.replaceChildren(el("p", { class: "loading" }, "Loading …"));
  try {
    const info = await call("GET", "/v1/info");
    document.getElementById("key-button").hidden = !(info.keys_required || currentKey());
    if (left.signal.aborted) return;
    const build = { tag: tagView, models: modelsView, runs: id ? runView : runsView }[name || "tag"] ?? tagView;
    const content = await build({ info, id, signal: left.signal, query: new URLSearchParams(location.hash.split("?")[1]) });
    if (left.signal.aborted) return;
    view.replaceChildren(content);
    document.title = `${view.querySelector("h1")?.textContent ?? "audio_dcls"} – audio_dcls`;
  } catch (error) {
    if (!left.signal.aborted) view.replaceChildren(problemBox(error.message));
  }
}

document.getElementById("theme-button").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  dispatchEvent(new Event("themechange"));
});
document.getElementById("key-button").addEventListener("click", async () => {
  if (await askForKey()) show();
});
addEventListener("hashchange", () => {
  show();
  view.focus({ preventScroll: true });
  scrollTo(0, 0);
});
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name !== "AbortError") toast(event.reason?.message ?? String(event.reason), "bad");
});
show();
