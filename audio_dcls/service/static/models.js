// The view of models: all models, and whether each is loaded.

import { call } from "./api.js";
import { ask, busy, el, empty, fixed, toast } from "./dom.js";

export async function modelsView({ info, signal }) {
  const list = el("div", { class: "cards" });
  const refresh = async () => {
    const { models } = await call("GET", "/v1/models", { signal });
    list.replaceChildren(...(models.length ? models.map((model) => card(model, info, refresh)) : [empty("No model yet",
      "Train a run and press Use as model, or start the service with --model.",
      el("a", { class: "button primary", href: "#/runs?new=1" }, "Start a run"))]));
  };
  await refresh();
  return el("div", {}, el("h1", {}, "Models"), list);
}

function card(model, info, refresh) {
  const may = info.scopes.includes("admin");
  const act = (verb, words) => async (event) => {
    try {
      await busy(event.currentTarget, call("POST", `/v1/models/${model.name}/${verb}`));
      toast(`${model.name} ${words}`);
    } catch (error) {
      toast(error.message, "bad");
    }
    refresh();
  };
  const remove = async () => {
    if (!(await ask({ title: `Delete ${model.name}?`, text: "Its file is deleted; the run that it was made from stays.", yes: "Delete", danger: true }))) return;
    await call("DELETE", `/v1/models/${model.name}`);
    toast(`${model.name} deleted`);
    refresh();
  };
  const isLoaded = model.state === "loaded";
  return el("article", { class: "card model" },
    el("header", {}, el("h2", {}, model.name), model.is_default && el("span", { class: "badge" }, "default"), el("span", { class: `badge state ${model.state}` }, model.state)),
    el("dl", {},
      ...pair("architecture", model.architecture), ...pair("classes", model.num_classes), ...pair("mAP", model.mAP === null ? null : fixed(model.mAP)),
      ...pair("clip length", model.clip_s === null ? null : `${model.clip_s} s at ${model.sample_rate_hz / 1000} kHz`), ...pair("source", model.source)),
    model.error && el("p", { class: "problem" }, model.error),
    el("div", { class: "actions" },
      el("a", { class: "button primary", href: `#/tag?model=${encodeURIComponent(model.name)}` }, "Tag with this model"),
      may && el("button", { type: "button", onclick: isLoaded ? act("unload", "unloaded") : act("load", "loaded") }, isLoaded ? "Unload" : "Load"),
      may && model.is_removable && el("button", { type: "button", class: "danger-text", onclick: remove }, "Delete")));
}

function pair(name, value) {
  return value === null || value === undefined ? [] : [el("dt", {}, name), el("dd", {}, String(value))];
}
