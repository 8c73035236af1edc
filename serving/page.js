const wire = JSON.parse(document.getElementById("wire").textContent);
const form = document.querySelector("form"), out = document.getElementById("answer");
const file = form.querySelector("input[type=file]"), area = form.querySelector("textarea");
const COLOURS = ["#2f6fed", "#d9480f", "#2b8a3e", "#862e9c", "#c2255c", "#0b7285", "#5c940d", "#5f3dc4"];
const NS = document.querySelector("svg").namespaceURI;
const PICTURE = "data:image/png;base64,";

function put(parent, name, text, kind) {
 const made = document.createElement(name);
 if (text !== undefined) made.textContent = text;
 if (kind) made.className = kind;
 parent.append(made);
 return made;
}
function draw(parent, name, facts) {
 const made = document.createElementNS(NS, name);
 for (const [key, value] of Object.entries(facts)) made.setAttribute(key, value);
 parent.append(made);
 return made;
}
const colours = new Map();
function colour(label) {
 if (!colours.has(label)) colours.set(label, COLOURS[colours.size % COLOURS.length]);
 return colours.get(label);
}

for (const [name, schema] of Object.entries(wire.parameters)) {
 const label = put(document.getElementById("parameters"), "label", name + " ");
 const input = put(label, "input");
 input.type = "text"; input.name = name; input.title = schema.description || "";
 if (schema.examples) input.value = JSON.stringify(schema.examples[0]);  // where a default is not what a person tries
 if (schema.default !== undefined && schema.default !== null) input.placeholder = String(schema.default);
}
function parsed(text) {  // what is no JSON stays text
 try { return JSON.parse(text); } catch { return text; }
}
function parameters() {
 const found = {};
 for (const input of document.querySelectorAll("#parameters input")) {
  if (input.value.trim() === "") continue;
  found[input.name] = parsed(input.value);
 }
 return Object.keys(found).length ? found : null;
}
function request() {
 const beside = parameters();
 if (file) {
  const body = new FormData();
  body.append(wire.item, file.files[0]);
  if (beside) body.append("parameters", JSON.stringify(beside));
  return {body};
 }
 const asked = {[wire.item]: wire.form === "json" ? parsed(area.value) : area.value};
 if (beside) asked.parameters = beside;
 return {body: JSON.stringify(asked), headers: {"content-type": "application/json"}};
}

function bars(odds) {
 const table = put(out, "table");
 for (const [label, probability] of Object.entries(odds).sort((a, b) => b[1] - a[1]).slice(0, 25)) {
  const row = table.insertRow(); row.insertCell().textContent = label;
  put(row.insertCell(), "div", undefined, "bar").style.width = 100 * probability + "%";
  row.insertCell().textContent = probability.toFixed(3);
 }
}
function boxes(found) {
 const frame = put(out, "div", undefined, "picture"), image = put(frame, "img");
 image.onload = () => {
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const svg = draw(frame, "svg", {viewBox: `0 0 ${width} ${height}`});
  const size = Math.max(9, width / 40);
  for (const {label, score, xmin, ymin, xmax, ymax} of found) {
   draw(svg, "rect", {x: xmin, y: ymin, width: xmax - xmin, height: ymax - ymin, fill: "none",
    stroke: colour(label), "stroke-width": Math.max(1, width / 300)});
   draw(svg, "text", {x: xmin + 2, y: ymin + size, fill: colour(label), "font-size": size})
    .textContent = `${label} ${score.toFixed(2)}`;
  }
 };
 image.src = URL.createObjectURL(file.files[0]);
 const count = {};
 for (const {label} of found) count[label] = (count[label] || 0) + 1;
 put(out, "p", Object.entries(count).map(([label, n]) => `${n} ${label}`).join(", ") || "nothing found");
}
function overlay(mask, classes) {
 const frame = put(out, "div", undefined, "picture");
 if (file) put(frame, "img").src = URL.createObjectURL(file.files[0]);
 put(frame, "img", undefined, file ? "mask" : "").src = PICTURE + mask;
 bars(Object.fromEntries(classes.map(({label, share}) => [label, share])));
}
function spans(found, text) {
 const shown = put(out, "blockquote"), letters = Array.from(text);  // by code points, as the service counts
 let at = 0;
 for (const {start, end, label} of [...found].sort((a, b) => a.start - b.start)) {
  if (start < at) continue;
  shown.append(letters.slice(at, start).join(""));
  const mark = put(shown, "mark", letters.slice(start, end).join(""));
  mark.style.background = colour(label) + "33";
  put(mark, "small", label);
  at = end;
 }
 shown.append(letters.slice(at).join(""));
}
function columns(values, names) {  // [[a, b], ...] or [a, b, ...] -> [name, list] of each
 if (!Array.isArray(values[0])) return [["value", values]];
 return values[0].map((_, channel) => [names[channel] ?? String(channel), values.map(row => row[channel])]);
}
function lines(values, quantiles, channels) {
 const drawn = [...Object.values(quantiles).flatMap(level => columns(level, channels).map(line => [...line, 0.35])),
  ...columns(values, channels).map(line => [...line, 1])];
 const all = drawn.flatMap(([, numbers]) => numbers), low = Math.min(...all), high = Math.max(...all);
 const svg = draw(out, "svg", {viewBox: "0 0 1000 300", preserveAspectRatio: "none", class: "chart"});
 for (const [name, numbers, opacity] of drawn) {
  const place = (value, step) =>
   `${1000 * step / Math.max(1, numbers.length - 1)},${290 - 280 * (value - low) / (high - low || 1)}`;
  draw(svg, "polyline", {points: numbers.map(place).join(" "), fill: "none", stroke: colour(name), opacity,
   "vector-effect": "non-scaling-stroke"});
 }
 const names = put(out, "p");
 for (const [name] of columns(values, channels)) put(names, "small", name + "  ").style.color = colour(name);
 const levels = Object.keys(quantiles).length ? `; pale: quantiles ${Object.keys(quantiles).join(", ")}` : "";
 put(names, "small", `  ${low.toPrecision(4)} to ${high.toPrecision(4)}${levels}`);
}
function show(prediction) {
 const {label, labels, scores, probabilities, boxes: found, spans: marked, text, image, mask, classes, ...others} =
  prediction;
 const {values, quantiles = {}, channels = [], ...rest} = others;
 if (label !== undefined) put(out, "h2", label);
 if (labels) put(out, "h2", labels.join(", ") || "no label");
 if (probabilities || scores) bars(probabilities || scores);
 if (mask) overlay(mask, classes);
 if (found && file) boxes(found); else if (found) rest.boxes = found;
 if (marked) spans(marked, area ? area.value : "");
 if (text !== undefined && !marked) put(out, "blockquote", text);
 if (image) put(out, "img", undefined, "made").src = PICTURE + image;
 if (values) lines(values, quantiles, channels);
 if (Object.keys(rest).length) put(out, "pre", JSON.stringify(rest, null, 1));
}

form.onsubmit = async event => {
 event.preventDefault();
 const button = form.querySelector("button");
 button.disabled = true;
 try {
  const response = await fetch("predict", {method: "POST", ...request()});
  const answer = await response.json();
  out.replaceChildren();
  if (!response.ok) put(out, "p", answer.detail, "refused");
  else answer.predictions.forEach(show);
 } catch (error) {
  out.replaceChildren();
  put(out, "p", String(error), "refused");
 } finally { button.disabled = false; }
};
if (file) file.onchange = () => form.requestSubmit();
