// The microphone: records a wav file, or sends samples to the service as they arrive.

import { currentKey } from "./api.js";

async function microphone(take) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch {
    throw new Error("The microphone cannot be used; allow it in the browser, and check that one is connected.");
  }
  const context = new AudioContext();
  await context.audioWorklet.addModule("/static/pcm_worklet.js");
  const node = new AudioWorkletNode(context, "pcm");
  node.port.onmessage = (event) => take(event.data);
  context.createMediaStreamSource(stream).connect(node);
  const stop = () => {
    stream.getTracks().forEach((track) => track.stop());
    return context.close();
  };
  return { rate: context.sampleRate, stop };
}

function toInt16(samples) {
  return Int16Array.from(samples, (value) => Math.max(-1, Math.min(1, value)) * 32767);
}

export async function recordWav() {
  const blocks = [];
  const source = await microphone((samples) => blocks.push(toInt16(samples)));
  return {
    async stop() {
      await source.stop();
      const name = `recording ${new Date().toLocaleTimeString().replaceAll(":", "-")}.wav`;
      return new File([wavHeader(blocks.reduce((sum, block) => sum + block.length, 0), source.rate), ...blocks], name, { type: "audio/wav" });
    },
  };
}

function wavHeader(numSamples, rate) {
  const view = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * numSamples, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * numSamples, true);
  return view.buffer;
}

export async function liveTags(query, take) {
  let socket = null;
  const source = await microphone((samples) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(toInt16(samples).buffer);
  });
  const url = new URL("/v1/tag/stream", location.origin.replace(/^http/, "ws"));
  for (const [name, value] of Object.entries({ ...query, sample_rate_hz: source.rate })) url.searchParams.set(name, value);
  socket = new WebSocket(url, currentKey() ? ["audio-dcls", `key.${currentKey()}`] : ["audio-dcls"]);
  socket.onmessage = (event) => take(JSON.parse(event.data));
  socket.onerror = () => take({ type: "error", detail: "The connection for live sound was lost." });
  return {
    stop() {
      source.stop();
      if (socket.readyState === WebSocket.OPEN) socket.send("end");
    },
  };
}
