// The view that tags sounds: drop, choose or record a sound, see and hear the result, save it.

import { call } from "./api.js";
import { busy, el, empty, fixed, icons, problemBox, seconds, svgIcon, toast } from "./dom.js";
import { liveTags, recordWav } from "./recorder.js";
import { soundView } from "./sound_view.js";

export async function tagView({ info, signal, query }) {
  const { models } = await call("GET", "/v1/models");
  const results = el("div", { class: "results", "aria-live": "polite" });
  const heading = el("h1", {}, "Tag sounds");
  if (!models.length) {
    const how = ["The demo run makes a model in a few minutes, from sounds that it synthesises. When it is done, press Use as model. Or start the service with your own model: ", el("code", {}, "audio-dcls serve --model FILE")];
    return el("div", {}, heading, empty("No model yet", how,
      el("a", { class: "button primary", href: "#/runs?new=1" }, "Start a run")));
  }
  const options = optionFields(models, query.get("model") ?? info.default_model);
  const input = el("input", { type: "file", id: "file", multiple: true, accept: "audio/*,video/*,.flac,.opus,.aiff,.mkv", class: "visually-hidden", dataset: { testid: "file-input" } });
  const drop = el("label", { class: "drop", for: "file" }, input,
    el("strong", {}, "Drop sounds here, or choose files"),
    el("span", {}, `Any format and rate, up to ${info.limits.max_upload_mb} MB and ${seconds(info.limits.max_duration_s)} each`));
  const tagFiles = async (files) => {
    for (const file of [...files].slice(0, info.limits.max_batch_files)) {
      const card = el("article", { class: "card result" }, el("h2", {}, file.name), el("p", { class: "loading" }, "Tagging …"));
      results.prepend(card);
      await tagOne(file, card, options.values(), signal);
    }
  };
  input.addEventListener("change", async () => {
    const files = [...input.files];
    input.value = "";
    await tagFiles(files);
  });
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); tagFiles(event.dataTransfer.files); });
  return el("div", { class: "tag-view" }, heading,
    el("section", { class: "card composer", "aria-label": "Sounds to tag" }, drop, recorders(tagFiles, options, signal), options.node), results);
}

function optionFields(models, chosen) {
  const model = el("select", { dataset: { testid: "model-select" } },
    ...models.map((one) => el("option", { value: one.name, selected: one.name === chosen }, one.name)));
  const topK = el("input", { type: "number", min: "1", max: "527", value: "8" });
  const threshold = el("input", { type: "number", min: "0", max: "1", step: "0.05", placeholder: "0" });
  const timeline = el("input", { type: "checkbox", checked: true });
  const node = el("div", { class: "fields" },
    el("label", {}, "Model", model), el("label", {}, "Tags", topK), el("label", {}, "Lowest score", threshold),
    el("label", { class: "check" }, timeline, " Events over time"));
  const values = () => ({ model: model.value, top_k: topK.value || 8, threshold: threshold.value, timeline: timeline.checked });
  return { node, values };
}

async function tagOne(file, card, options, signal) {
  const title = el("h2", {}, file.name);
  try {
    const body = new FormData();
    body.append("file", file);
    const result = await call("POST", "/v1/tag", { body, query: { ...options, picture: true }, signal });
    card.dataset.testid = "tag-result";
    card.replaceChildren(
      el("header", {}, title, el("p", { class: "meta" }, `${seconds(result.duration_s)} · ${result.model}`), downloads(result)),
      soundView(file, result, signal), tagBars(result.tags));
  } catch (error) {
    if (error.name !== "AbortError") card.replaceChildren(title, problemBox(error.message));
  }
}

export function tagBars(tags) {
  if (!tags.length) return el("p", { class: "hint" }, "No tag has this score.");
  return el("ol", { class: "bars" }, ...tags.map((tag) =>
    el("li", { dataset: { testid: "tag-row", name: tag.name, score: String(tag.score) } },
      el("span", { class: "bar-name" }, tag.name),
      el("span", { class: "bar", "aria-hidden": "true" }, el("i", { style: `width:${100 * tag.score}%` })),
      el("span", { class: "bar-score" }, fixed(tag.score, 2)))));
}

function downloads(result) {
  const { picture, ...plain } = result;
  const text = JSON.stringify(plain, null, 2);
  const copy = el("button", { type: "button", class: "small", onclick: async () => {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } }, "Copy JSON");
  const save = el("button", { type: "button", class: "small", onclick: () => {
    const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: `${result.path}.json` });
    link.click();
    URL.revokeObjectURL(link.href);
  } }, "Save");
  return el("div", { class: "actions" }, copy, save);
}

function recorders(tagFiles, options, signal) {
  if (!navigator.mediaDevices) return el("p", { class: "hint" }, "Recording needs https, or a browser on the machine that runs the service.");
  const record = el("button", { type: "button" }, svgIcon(icons.mic), " Record");
  const live = el("button", { type: "button" }, svgIcon(icons.live), " Listen live");
  const now = el("div", { class: "live", "aria-live": "off" });
  let recording = null;
  let listening = null;
  record.addEventListener("click", () => busy(record, (async () => {
    if (recording) {
      const file = await recording.stop();
      recording = null;
      record.replaceChildren(svgIcon(icons.mic), " Record");
      await tagFiles([file]);
    } else {
      recording = await recordWav();
      record.replaceChildren(svgIcon(icons.stop), " Stop and tag");
    }
  })().catch((error) => toast(error.message, "bad"))));
  const end = () => {
    listening?.stop();
    listening = null;
    live.replaceChildren(svgIcon(icons.live), " Listen live");
  };
  live.addEventListener("click", () => busy(live, (async () => {
    if (listening) return end();
    const { model, top_k: topK } = options.values();
    listening = await liveTags({ model, top_k: topK }, (message) => {
      if (message.type === "error") {
        toast(message.detail, "bad");
        end();
      } else now.replaceChildren(el("p", { class: "meta" }, message.type === "result" ? "In total" : "Now"), tagBars(message.tags));
    });
    live.replaceChildren(svgIcon(icons.stop), " Stop listening");
  })().catch((error) => toast(error.message, "bad"))));
  signal.addEventListener("abort", () => {
    recording?.stop();
    listening?.stop();
  });
  return el("div", {}, el("div", { class: "actions" }, record, live), now);
}
