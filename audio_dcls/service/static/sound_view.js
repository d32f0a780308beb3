// Shows and plays a sound: waveform, spectrogram and events. A click plays from that place.

import { clock, el, icons, svgIcon } from "./dom.js";

// Colours of the map magma (Smith and van der Walt, CC0), which colour-blind readers and black-and-white print can show.
const MAGMA = [[0, 0, 4], [40, 17, 89], [101, 26, 128], [159, 47, 127], [212, 72, 104], [245, 125, 90], [254, 184, 122], [252, 253, 191]];

export function soundView(file, result, signal) {
  const picture = result.picture;
  const total = picture.duration_s;
  const url = URL.createObjectURL(file);
  const audio = el("audio", { src: url, preload: "metadata" });
  signal.addEventListener("abort", () => {
    audio.pause();
    URL.revokeObjectURL(url);
  });
  const wave = el("canvas", { class: "wave", "aria-hidden": "true" });
  const spectrogram = el("canvas", { class: "spectrogram", "aria-hidden": "true" });
  const cursor = el("div", { class: "cursor", "aria-hidden": "true" });
  const button = el("button", { type: "button", class: "icon play", "aria-label": "Play" }, svgIcon(icons.play));
  const place = el("input", { type: "range", min: "0", max: String(total), step: "0.05", value: "0", "aria-label": "Position in the sound" });
  const time = el("output", { class: "time" }, `${clock(0)} / ${clock(total)}`);

  const hearFrom = (second) => {
    audio.currentTime = Math.min(second, Math.max(0, total - 0.05));
    audio.play().catch(() => {});
  };
  const stack = el("div", { class: "stack" }, wave, spectrogram, lanes(result.events ?? [], total, hearFrom), cursor);
  stack.addEventListener("click", (event) => {
    if (event.target.closest("button")) return;
    const box = wave.getBoundingClientRect();
    hearFrom(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * total);
  });
  button.addEventListener("click", () => (audio.paused ? audio.play().catch(() => {}) : audio.pause()));
  place.addEventListener("input", () => (audio.currentTime = Number(place.value)));
  for (const name of ["play", "pause", "ended"]) {
    audio.addEventListener(name, () => {
      button.replaceChildren(svgIcon(audio.paused ? icons.play : icons.pause));
      button.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
    });
  }
  const follow = () => {
    const share = total ? Math.min(1, audio.currentTime / total) : 0;
    cursor.style.left = `${100 * share}%`;
    place.value = String(audio.currentTime);
    time.textContent = `${clock(audio.currentTime)} / ${clock(total)}`;
    if (!audio.paused && !signal.aborted) requestAnimationFrame(follow);
  };
  for (const name of ["play", "timeupdate", "seeked"]) audio.addEventListener(name, follow);
  const controls = el("div", { class: "controls" }, button, place, time);
  audio.addEventListener("error", () => {
    controls.replaceChildren(el("p", { class: "hint" }, "This browser cannot play this kind of file. The tags are below."));
  });
  const draw = () => {
    drawWave(wave, picture.envelope);
    drawSpectrogram(spectrogram, picture.spectrogram);
  };
  new ResizeObserver(draw).observe(stack);
  addEventListener("themechange", draw, { signal });
  return el("div", { class: "sound" }, stack, axis(total), controls, audio);
}

function axis(total) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200].find((one) => total / one <= 8) ?? 3600;
  const ticks = [];
  for (let at = 0; at <= total + 1e-9; at += step) {
    if (100 * (at / total) > 97) break;
    ticks.push(el("span", { style: `left:${(100 * at) / total}%` }, step < 1 ? at.toFixed(1) : at < 60 ? `${at}` : clock(at).replace(/\.\d$/, "")));
  }
  return el("div", { class: "axis", "aria-hidden": "true" }, ticks, el("span", { class: "unit" }, "s"));
}

function lanes(events, total, hearFrom) {
  const byName = new Map();
  for (const event of events) byName.set(event.name, [...(byName.get(event.name) ?? []), event]);
  const sorted = [...byName].sort((a, b) => Math.max(...b[1].map((e) => e.score)) - Math.max(...a[1].map((e) => e.score)));
  const rows = sorted.slice(0, 8).map(([name, found]) =>
    el("div", { class: "lane" }, el("span", { class: "lane-name" }, name), ...found.map((event) => eventButton(event, total, hearFrom))));
  return el("div", { class: "lanes", role: "group", "aria-label": "Events over time" }, ...rows);
}

function eventButton(event, total, hearFrom) {
  const from = (100 * event.onset_s) / total;
  const wide = Math.max(0.8, (100 * (event.offset_s - event.onset_s)) / total);
  const words = `${event.name}, ${event.onset_s.toFixed(1)} to ${event.offset_s.toFixed(1)} s, score ${event.score.toFixed(2)}`;
  return el("button", {
    type: "button", class: "event", title: words, "aria-label": `Play ${words}`,
    style: `left:${from}%;width:${wide}%;opacity:${0.45 + 0.55 * event.score}`, onclick: () => hearFrom(event.onset_s),
  });
}

function prepare(canvas) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  return canvas.getContext("2d");
}

function drawWave(canvas, envelope) {
  const context = prepare(canvas);
  const { width, height } = canvas;
  const loudest = Math.max(1e-6, ...envelope.map(([low, high]) => Math.max(-low, high)));
  context.fillStyle = getComputedStyle(canvas).color;
  const wide = width / envelope.length;
  envelope.forEach(([low, high], index) => {
    const top = (0.5 - (0.48 * high) / loudest) * height;
    const bottom = (0.5 - (0.48 * low) / loudest) * height;
    const left = Math.round(index * wide);
    context.fillRect(left, top, Math.max(1, Math.round((index + 1) * wide) - left), Math.max(1, bottom - top));
  });
}

function drawSpectrogram(canvas, { height, width, data }) {
  const context = prepare(canvas);
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const image = new ImageData(width, height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const [red, green, blue] = colour(bytes[row * width + column] / 255);
      const at = 4 * ((height - 1 - row) * width + column);
      image.data.set([red, green, blue, 255], at);
    }
  }
  const small = el("canvas", { width, height });
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

export function colour(share) {
  const at = Math.max(0, Math.min(1, share)) * (MAGMA.length - 1);
  const index = Math.min(MAGMA.length - 2, Math.floor(at));
  return MAGMA[index].map((from, channel) => Math.round(from + (at - index) * (MAGMA[index + 1][channel] - from)));
}
