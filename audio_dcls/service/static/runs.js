// The view of runs: all runs, and a form that starts one from a recipe.

import { call } from "./api.js";
import { busy, el, empty, fixed, problemBox, seconds, toast, when } from "./dom.js";

const REFRESH_MS = 2000;
const ACTIVE = ["queued", "running", "stopping"];

export async function runsView({ info, signal, query }) {
  const list = el("div", { class: "cards", "aria-live": "off" });
  const may = info.scopes.includes("train") && info.training;
  const form = may ? newRun(info) : null;
  const button = el("button", { type: "button", class: "primary", "aria-expanded": "false" }, "New run");
  if (form) {
    form.hidden = query.get("new") === null;
    button.setAttribute("aria-expanded", String(!form.hidden));
    button.addEventListener("click", () => {
      form.hidden = !form.hidden;
      button.setAttribute("aria-expanded", String(!form.hidden));
      if (!form.hidden) form.querySelector("select").focus();
    });
  }
  let shown = "";
  const refresh = async () => {
    const { runs } = await call("GET", "/v1/runs", { signal });
    const text = JSON.stringify(runs);
    if (text === shown) return;
    shown = text;
    list.replaceChildren(...(runs.length ? runs.map(card) : [empty("No run yet",
      info.training ? "Start the demo: it makes its own sounds and, in a few minutes, a model that tags them." : "Training is switched off here.")]));
    if (!runs.length && form) form.hidden = false;
  };
  await refresh();
  const timer = setInterval(() => document.hidden || refresh().catch(() => {}), REFRESH_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  return el("div", {}, el("div", { class: "title-row" }, el("h1", {}, "Runs"), may && button), form, list);
}

function card(run) {
  return el("a", { class: "card run", href: `#/runs/${run.id}` },
    el("header", {}, el("h2", {}, run.name), el("span", { class: `badge state ${run.state}`, dataset: { testid: "run-state" } }, run.state)),
    progressBar(run),
    el("p", { class: "meta" }, summary(run)));
}

export function progressBar(run) {
  return el("progress", { max: "1", value: String(run.progress), "aria-label": `${Math.round(100 * run.progress)} % done` });
}

export function summary(run) {
  const parts = [`${Math.round(100 * run.progress)} %`];
  if (run.state === "queued" && run.position) parts.push(`place ${run.position} in the queue`);
  if (run.state === "running" && run.time_left_s !== null) parts.push(`${seconds(run.time_left_s)} left`);
  if (run.mAP) parts.push(`mAP ${fixed(run.mAP.mean)}${run.mAP.std === null ? "" : ` ± ${fixed(run.mAP.std)}`}`);
  parts.push(`${run.seeds.length || 1} seed${run.seeds.length > 1 ? "s" : ""}`, when(run.created));
  return parts.join(" · ");
}

function newRun(info) {
  const recipe = el("select", { dataset: { testid: "recipe-select" } }, ...info.recipes.map((one) => el("option", { value: one.name }, one.title)));
  const about = el("p", { class: "hint" });
  const field = (label, attributes, hint) => {
    const input = el("input", attributes);
    return { input, node: el("label", {}, label, input, hint && el("small", {}, hint)) };
  };
  const name = field("Name", { type: "text", maxlength: "64", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", placeholder: "name of the recipe" });
  const seeds = field("Seeds", { type: "text", pattern: "\\s*\\d+(\\s*,\\s*\\d+)*\\s*", dataset: { testid: "run-seeds" } }, "one run per seed, e.g. 0, 1, 2");
  const epochs = field("Epochs", { type: "number", min: "1", dataset: { testid: "run-epochs" } });
  const rate = field("Learning rate", { type: "text", inputmode: "decimal", pattern: "[0-9.eE\\-]+" });
  const batch = field("Clips per step", { type: "number", min: "1" });
  const manifest = field("Manifest", { type: "text", placeholder: "/data/clips.csv" }, "in a folder that the operator named");
  const labels = field("Labels", { type: "text", placeholder: "audioset" }, "audioset, or a CSV of classes");
  const more = el("textarea", { rows: "3", spellcheck: "false", placeholder: "loop.evaluate_every_epochs=1" });
  const data = el("div", { class: "fields" }, manifest.node, labels.node);
  const error = el("div");
  const start = el("button", { class: "primary", dataset: { testid: "start-run" } }, "Start");
  const choose = () => {
    const chosen = info.recipes.find((one) => one.name === recipe.value);
    if (!chosen) return;
    about.textContent = chosen.description;
    data.hidden = !chosen.needs_data;
    manifest.input.required = chosen.needs_data;
    seeds.input.value = chosen.fields.seeds.join(", ");
    epochs.input.value = chosen.fields.epochs;
    rate.input.value = chosen.fields.learning_rate;
    batch.input.value = chosen.fields.batch;
  };
  recipe.addEventListener("change", choose);
  choose();
  const form = el("form", { class: "card new-run" }, el("h2", {}, "New run"),
    el("label", {}, "Recipe", recipe), about,
    el("div", { class: "fields" }, name.node, seeds.node, epochs.node, rate.node, batch.node), data,
    el("details", {}, el("summary", {}, "More settings"), el("label", {}, "One key=value per line, any key of the config", more)),
    error, el("div", { class: "actions" }, start));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    error.replaceChildren();
    const chosen = info.recipes.find((one) => one.name === recipe.value);
    const overrides = changed(chosen.fields, { epochs, rate, batch });
    if (chosen.needs_data) overrides["data.manifests"] = [manifest.input.value.trim()];
    if (chosen.needs_data && labels.input.value.trim()) overrides["data.labels"] = labels.input.value.trim();
    try {
      for (const [key, value] of Object.entries(freeLines(more.value))) {
        if (key in overrides) throw new Error(`'${key}' is also set by a field above; set it in one place`);
        overrides[key] = value;
      }
      const body = { config: chosen.name, overrides, seeds: seeds.input.value.split(",").map(Number), name: name.input.value.trim() || null };
      const run = await busy(start, call("POST", "/v1/runs", { json: body }));
      toast(`${run.name} is in the queue`);
      location.hash = `#/runs/${run.id}`;
    } catch (problem) {
      error.replaceChildren(problemBox(problem.message));
    }
  });
  return form;
}

// Only the values that differ from the recipe, so that the run's config shows what was changed.
function changed(fields, { epochs, rate, batch }) {
  const overrides = {};
  if (Number(epochs.input.value) !== fields.epochs) overrides["loop.epochs"] = Number(epochs.input.value);
  if (Number(rate.input.value) !== fields.learning_rate) overrides["optimizer.peak_rate"] = Number(rate.input.value);
  if (Number(batch.input.value) !== fields.batch) overrides["loop.effective_batch"] = Number(batch.input.value);
  return overrides;
}

function freeLines(text) {
  const overrides = {};
  for (const line of text.split("\n").map((one) => one.trim()).filter(Boolean)) {
    const place = line.indexOf("=");
    if (place < 1) throw new Error(`'${line}' must have the form key=value`);
    const value = line.slice(place + 1).trim();
    try {
      overrides[line.slice(0, place).trim()] = JSON.parse(value);
    } catch {
      overrides[line.slice(0, place).trim()] = value;
    }
  }
  return overrides;
}

export { ACTIVE };
