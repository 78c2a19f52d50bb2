"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

function percent(ratio) {
  return ratio === null ? "–" : (100 * ratio).toFixed(1) + " %";
}

/* A name within a sentence, which does not turn the rest of it around where it is written from right to left. */
function apart(name) {
  return /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc]/.test(name) ? `\u2068${name}\u2069` : name;
}

/* The tip beside the pointer, or beside what has the focus. */
const tip = document.getElementById("tip");

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const width = document.documentElement.clientWidth;
  tip.style.left = Math.max(4, Math.min(x + 12, width - tip.offsetWidth - 4)) + "px";
  tip.style.top = (y + 16 + tip.offsetHeight > window.innerHeight ? y - tip.offsetHeight - 8 : y + 16) + "px";
}

function hideTip() {
  tip.hidden = true;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});

function svgElement(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/* About five round numbers from low to high. */
function ticks(low, high, whole) {
  const rough = (high - low) / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) found.push(+value.toFixed(10));
  return found;
}

const SIZE = { width: 480, height: 320, left: 52, right: 16, top: 28, bottom: 44 };

/*
 * A line chart in `figure`. Axes have a label, low, high, and whole where they count. Series have points [x, y], and may
 * have a name, a class, a tip for each point, and steps, where y holds from the point before.
 */
function drawChart(figure, { x, y, series, label, diagonal }) {
  const { width, height, left, right, top, bottom } = SIZE;
  const across = (value) => left + ((value - x.low) / (x.high - x.low || 1)) * (width - left - right);
  const up = (value) => height - bottom - ((value - y.low) / (y.high - y.low || 1)) * (height - top - bottom);
  const picture = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const value of ticks(x.low, x.high, x.whole)) {
    picture.append(
      svgElement("line", { class: "axis", x1: across(value), x2: across(value), y1: top, y2: height - bottom }),
      svgElement("text", { x: across(value), y: height - bottom + 18, "text-anchor": "middle" }, value),
    );
  }
  for (const value of ticks(y.low, y.high)) {
    picture.append(
      svgElement("line", { class: "axis", x1: left, x2: width - right, y1: up(value), y2: up(value) }),
      svgElement("text", { x: left - 8, y: up(value) + 4, "text-anchor": "end" }, value),
    );
  }
  const middle = (top + height - bottom) / 2;
  picture.append(
    svgElement("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x.label),
    svgElement("text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, y.label),
  );
  if (diagonal) {
    picture.append(svgElement("line", { class: "diagonal", x1: across(0), y1: up(0), x2: across(1), y2: up(1) }));
  }
  for (const one of series) {
    const points = one.points.filter(([a, b]) => a !== null && b !== null);
    const corners = one.steps ? points.flatMap(([a, b], i) => (i ? [[points[i - 1][0], b], [a, b]] : [[a, b]])) : points;
    const path = corners.map(([a, b]) => `${across(a).toFixed(1)},${up(b).toFixed(1)}`).join(" ");
    picture.append(svgElement("polyline", { class: `line ${one.class || ""}`, points: path }));
    if (!one.tip) continue;
    for (const point of points) {
      const place = { cx: across(point[0]), cy: up(point[1]) };
      const reach = svgElement("circle", { class: "reach", r: 9, ...place });
      reach.addEventListener("pointermove", (event) => showTip(one.tip(point), event.clientX, event.clientY));
      reach.addEventListener("pointerleave", hideTip);
      if (points.length <= 40) picture.append(svgElement("circle", { class: `dot ${one.class || ""}`, r: 3, ...place }));
      picture.append(reach);
    }
  }
  const named = series.filter((one) => one.name);
  if (named.length > 1) {
    named.forEach((one, place) => {
      const style = one.class ? "name-second" : "name-first";
      picture.append(svgElement("text", { class: style, x: left + 90 * place, y: top - 10 }, one.name));
    });
  }
  figure.replaceChildren(picture);
}

const UNIT = { low: 0, high: 1 };

function drawCurve() {
  const chosen = Number(document.getElementById("curve-class").value);
  const curve = data.curves[chosen];
  if (!curve) return;
  const points = ([recall, precision]) => recall.map((value, i) => [value, precision[i]]);
  const others = data.curves.filter((other, label) => other && label !== chosen);
  const average = data.averagePrecision[chosen];
  const name = data.labels[chosen];
  drawChart(document.getElementById("curve"), {
    x: { label: "recall", ...UNIT },
    y: { label: "precision", ...UNIT },
    label: `Precision over recall of ${apart(name)}` + (average === null ? "" : `, average precision ${percent(average)}`),
    series: [
      ...others.map((other) => ({ points: points(other), class: "faint", steps: true })),
      { points: points(curve), steps: true, tip: ([a, b]) => `recall ${percent(a)}, precision ${percent(b)}` },
    ],
  });
  const caption = document.createElement("figcaption");
  caption.textContent = apart(name) + (average === null ? "" : `: average precision ${percent(average)}`) + "; the other classes are faint.";
  document.getElementById("curve").append(caption);
  document.querySelector("#curve-table tbody").replaceChildren(
    ...points(curve).map((pair) => {
      const row = document.createElement("tr");
      for (const value of pair) row.insertCell().textContent = percent(value);
      return row;
    }),
  );
}

function drawCalibration() {
  const figure = document.getElementById("calibration-chart");
  if (!figure) return;
  const counts = new Map(data.calibration.map(([confidence, , n]) => [confidence, n]));
  drawChart(figure, {
    x: { label: "confidence", ...UNIT },
    y: { label: "accuracy", ...UNIT },
    diagonal: true,
    label: "Accuracy over confidence: " + data.calibration.map(([a, b]) => `${percent(b)} at ${percent(a)}`).join(", "),
    series: [{
      points: data.calibration,
      tip: ([a, b]) => `${counts.get(a)} videos: confidence ${percent(a)}, accuracy ${percent(b)}`,
    }],
  });
}

function drawHistory(id, key, title, high) {
  const figure = document.getElementById(id);
  if (!figure) return;
  const epochs = data.history.epoch;
  const values = ["train_", "val_"].flatMap((part) => data.history[part + key]).filter((value) => value !== null);
  const series = (part, name, style) => ({
    name,
    class: style,
    points: epochs.map((epoch, i) => [epoch, data.history[part + key][i]]),
    tip: ([epoch, value]) => `epoch ${epoch}, ${name}: ${value}`,
  });
  const last = (part) => data.history[part + key].at(-1) ?? "unknown";
  drawChart(figure, {
    x: { label: "epoch", low: epochs[0], high: epochs.at(-1), whole: true },
    y: { label: title, low: 0, high: high || Math.max(...values, 0) || 1 },
    label: `${title} over ${epochs.length} epochs; at the end ${last("train_")} in training, ${last("val_")} in validation`,
    series: [series("train_", "training"), series("val_", "validation", "second")].filter(({ points }) => points.some(([, value]) => value !== null)),
  });
}

const firstCurve = data.curves.findIndex((curve) => curve);
if (firstCurve >= 0) {
  document.getElementById("curve-class").addEventListener("change", drawCurve);
  document.getElementById("curve-class").value = String(firstCurve);
  drawCurve();
}
drawCalibration();
drawHistory("history-loss", "loss", "loss");
drawHistory("history-top1", "top1", "top-1", 1);
