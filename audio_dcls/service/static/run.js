// The view of one run: state, buttons, live curves, scores per class, log.

import { call, listen } from "./api.js";
import { curveChart } from "./charts.js";
import { ask, busy, el, fixed, problemBox, toast, when } from "./dom.js";
import { ACTIVE, progressBar, summary } from "./runs.js";

const LOG_LINES = 200;
const REDRAW_MS = 400;

export async function runView({ info, id, signal }) {
  let run = await call("GET", `/v1/runs/${id}`, { signal });
  const head = el("div", { class: "card run-head" });
  const loss = chartBox("Loss", "loss-chart");
  const score = chartBox("mAP", "map-chart");
  const log = el("pre", { class: "log", tabindex: "0", "aria-label": "Log" });
  const classes = el("section", { class: "card" });
  const root = el("div", {}, el("p", { class: "crumb" }, el("a", { href: "#/runs" }, "Runs"), " / ", id), el("h1", {}, run.name),
    head, el("div", { class: "two" }, loss.node, score.node), classes,
    el("section", { class: "card" }, el("h2", {}, "Log"), log));
  const curves = new Curves(loss.attach(signal), score.attach(signal));
  const show = () => head.replaceChildren(...header(run, info, refresh));
  const refresh = async () => {
    run = await call("GET", `/v1/runs/${id}`, { signal });
    show();
    await showClasses(classes, run, signal);
  };
  show();
  // An active run sends all its events from the beginning; a run at rest is read once, until it is resumed.
  const follow = async () => {
    while (!signal.aborted) {
      if (ACTIVE.includes(run.state)) {
        curves.load([]);
        log.textContent = "";
        await showClasses(classes, run, signal);
        await listen(`/v1/runs/${id}/events`, (event, data) => {
          if (event === "run") {
            run = data;
            show();
            if (!ACTIVE.includes(run.state)) showClasses(classes, run, signal).catch(() => {}); // and again when the stream ends
          } else if (event === "metrics") curves.add(data);
          else if (event === "log") appendLog(log, data.lines);
        }, signal);
        if (!signal.aborted) await refresh();
      } else if (await readAtRest()) return;
    }
  };
  // Resolves to true when the visitor leaves the page, to false when the run is active again.
  const readAtRest = async () => {
    curves.load((await call("GET", `/v1/runs/${id}/metrics`, { signal })).series);
    log.textContent = await call("GET", `/v1/runs/${id}/logs`, { query: { tail: LOG_LINES }, signal });
    log.scrollTop = log.scrollHeight;
    await showClasses(classes, run, signal);
    while (!signal.aborted && !ACTIVE.includes(run.state)) await new Promise((resolve) => setTimeout(resolve, 300));
    return signal.aborted;
  };
  queueMicrotask(() => follow().catch((error) => signal.aborted || root.append(problemBox(error.message))));
  return root;
}

function header(run, info, refresh) {
  const may = info.scopes.includes("train");
  const act = (verb, words) => async (event) => {
    try {
      await busy(event.currentTarget, call("POST", `/v1/runs/${run.id}/${verb}`));
      toast(words);
    } catch (error) {
      toast(error.message, "bad");
    }
    refresh();
  };
  const remove = async () => {
    if (!(await ask({ title: `Delete ${run.name}?`, text: "Its checkpoints, curves and log are deleted for good. Models made from it stay.", yes: "Delete", danger: true }))) return;
    await call("DELETE", `/v1/runs/${run.id}`);
    toast("Deleted");
    location.hash = "#/runs";
  };
  const isActive = ACTIVE.includes(run.state);
  const hasModel = run.seeds.some((seed) => seed.step > 0);
  return [
    el("header", {}, el("span", { class: `badge state ${run.state}`, dataset: { testid: "run-state" }, role: "status" }, run.state), el("p", { class: "meta" }, summary(run))),
    progressBar(run),
    run.error && problemBox(run.error),
    seedTable(run),
    el("div", { class: "actions" },
      may && isActive && el("button", { type: "button", disabled: run.state === "stopping", dataset: { testid: "stop-run" }, onclick: act("stop", "Stopping; the run writes a checkpoint first") }, "Stop"),
      may && ["stopped", "failed"].includes(run.state) && el("button", { type: "button", class: "primary", dataset: { testid: "resume-run" }, onclick: act("resume", "The run resumes from its last checkpoint") }, "Resume"),
      may && hasModel && el("button", { type: "button", class: run.state === "done" ? "primary" : "", dataset: { testid: "use-model" }, onclick: () => useModel(run, refresh) }, "Use as model"),
      ...(run.models ?? []).map((name) => el("a", { class: "button", href: `#/tag?model=${encodeURIComponent(name)}` }, `Tag with ${name}`)),
      may && !isActive && el("button", { type: "button", class: "danger-text", onclick: remove }, "Delete")),
  ].filter(Boolean);
}

async function useModel(run, refresh) {
  const name = await ask({ title: "Use as model", text: "The newest checkpoint becomes a model of this service.", label: "Name", value: run.name.replace(/[^A-Za-z0-9._-]/g, "-"), yes: "Create model", testid: "model-name" });
  if (!name) return;
  const best = [...run.seeds].filter((seed) => seed.step > 0).sort((a, b) => (b.mAP ?? -1) - (a.mAP ?? -1))[0];
  try {
    await call("POST", `/v1/runs/${run.id}/model`, { json: { name, seed: best.seed, case: best.case ?? null } });
    toast(`${name} is a model now`);
  } catch (error) {
    toast(error.message, "bad");
  }
  refresh();
}

function seedTable(run) {
  if (!run.seeds.length) return null;
  const hasCases = run.seeds.some((seed) => seed.case);
  return el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, hasCases && el("th", {}, "case"), ...["seed", "state", "epoch", "loss", "mAP"].map((title) => el("th", {}, title)))),
    el("tbody", {}, ...run.seeds.map((seed) => el("tr", {}, hasCases && el("td", {}, seed.case ?? "–"), el("td", {}, String(seed.seed)), el("td", {}, seed.state),
      el("td", {}, `${fixed(seed.epoch, 1)}${seed.num_epochs ? ` / ${seed.num_epochs}` : ""}`), el("td", {}, fixed(seed.loss, 4)), el("td", {}, fixed(seed.mAP)))))));
}

function chartBox(title, testid) {
  const node = el("figure", { class: "card chart", role: "img", dataset: { testid, points: "0" } },
    el("figcaption", {}, title), el("div", { class: "chart-body" }), el("p", { class: "hint chart-empty" }, "Nothing measured yet."));
  return { node, attach: (signal) => curveChart(node, { title, digits: title === "Loss" ? 4 : 3, signal }) };
}

// The points of all seeds; they are drawn at most a few times per second.
class Curves {
  constructor(loss, score) {
    this.charts = { loss, score };
    this.seeds = new Map();
    this.timer = null;
  }

  load(series) {
    this.seeds.clear();
    for (const one of series) {
      const points = this.pointsOf(one.seed, one.case);
      points.loss = { x: [...one.train.epoch], y: [...one.train.loss], step: [...one.train.step] };
      points.score = { x: [...one.eval.epoch], y: [...one.eval.mAP], step: [...one.eval.step] };
    }
    this.draw();
  }

  add({ seed, case: name, line }) {
    const points = this.pointsOf(seed, name);
    const [target, value] = line.eval ? [points.score, line.eval.mAP] : [points.loss, line.loss];
    if (value === null || value === undefined) return;
    while (target.step.length && target.step.at(-1) >= line.step) for (const row of Object.values(target)) row.pop();
    target.x.push(line.epoch);
    target.y.push(value);
    target.step.push(line.step);
    this.timer ??= setTimeout(() => this.draw(), REDRAW_MS);
  }

  pointsOf(seed, name) {
    const label = name ? `${name}, seed ${seed}` : `seed ${seed}`;
    if (!this.seeds.has(label)) {
      const empty = () => ({ x: [], y: [], step: [] });
      this.seeds.set(label, { loss: empty(), score: empty() });
    }
    return this.seeds.get(label);
  }

  draw() {
    this.timer = null;
    for (const kind of ["loss", "score"]) {
      this.charts[kind].set([...this.seeds].map(([name, points]) => ({ name, x: points[kind].x, y: points[kind].y })));
    }
  }
}

function appendLog(log, lines) {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const kept = log.textContent.split("\n").filter(Boolean);
  log.textContent = [...kept, ...lines].slice(-LOG_LINES).join("\n");
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

async function showClasses(section, run, signal) {
  const { classes } = await call("GET", `/v1/runs/${run.id}/per-class`, { signal });
  const heading = el("h2", {}, "Average precision by class");
  if (!classes.length) {
    section.replaceChildren(heading, el("p", { class: "hint" }, "The scores appear here after a seed is measured."));
    return;
  }
  const seeds = [...new Set(classes.flatMap((one) => Object.keys(one.seeds)))];
  const mean = (one) => {
    const known = Object.values(one.seeds).filter((value) => value !== null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  };
  const rows = classes.map((one) => ({ ...one, mean: mean(one) }));
  const each = seeds.length > 1 ? seeds : []; // a single seed equals the mean
  const filter = el("input", { type: "search", placeholder: "Filter classes", "aria-label": "Filter classes" });
  const body = el("tbody");
  let order = { by: "mean", down: true };
  const fill = () => {
    const wanted = filter.value.trim().toLowerCase();
    const sign = order.down ? -1 : 1;
    const shown = rows.filter((one) => one.name.toLowerCase().includes(wanted)).sort((a, b) =>
      order.by === "name" ? sign * a.name.localeCompare(b.name) : sign * ((a[order.by] ?? -1) - (b[order.by] ?? -1)));
    body.replaceChildren(...shown.map((one) => el("tr", {}, el("td", {}, one.name),
      el("td", { class: "bar-cell" }, el("span", { class: "bar", "aria-hidden": "true" }, el("i", { style: `width:${100 * (one.mean ?? 0)}%` })), fixed(one.mean)),
      ...each.map((seed) => el("td", {}, fixed(one.seeds[seed] ?? null))), el("td", {}, one.num_clips === null ? "–" : String(one.num_clips)))));
  };
  const sorter = (by, title) => el("th", {}, el("button", { type: "button", class: "sort", onclick: () => {
    order = { by, down: order.by === by ? !order.down : by !== "name" };
    fill();
  } }, title));
  filter.addEventListener("input", fill);
  fill();
  section.replaceChildren(el("div", { class: "title-row" }, heading, filter), el("div", { class: "scroll tall" }, el("table", {},
    el("thead", {}, el("tr", {}, sorter("name", "class"), sorter("mean", seeds.length > 1 ? "mean AP" : "AP"), ...each.map((seed) => el("th", {}, `seed ${seed}`)), sorter("num_clips", "clips"))), body)));
}
