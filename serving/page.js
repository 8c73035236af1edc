const wire = JSON.parse(document.getElementById("wire").textContent);
const form = document.querySelector("form"), out = document.getElementById("answer");
const given = document.getElementById("given"), why = document.getElementById("why");
const file = form.querySelector("input[type=file]"), area = form.querySelector("textarea");
const COLOURS = ["#2f6fed", "#d9480f", "#2b8a3e", "#862e9c", "#c2255c", "#0b7285", "#5c940d", "#5f3dc4"];
const NS = document.querySelector("svg").namespaceURI;
const PICTURE = "data:image/png;base64,";

function put(parent, name, text, kind) {
 const made = document.createElement(name);
 if (name === "img") made.alt = "";  // what it shows is said in words beside it, if not here
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

function bars(odds, explained) {
 const table = put(out, "table");
 for (const [label, probability] of Object.entries(odds).sort((a, b) => b[1] - a[1]).slice(0, 25)) {
  const row = table.insertRow(); row.insertCell().textContent = label;
  put(row.insertCell(), "div", undefined, "bar").style.width = 100 * probability + "%";
  row.insertCell().textContent = probability.toFixed(3);
  if (explained) whyButton(row.insertCell(), label);
 }
}
function boxes(found) {
 given.replaceChildren();
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
 given.replaceChildren();
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
function lines(values, quantiles, channels, parent = out) {
 const drawn = [...Object.values(quantiles).flatMap(level => columns(level, channels).map(line => [...line, 0.35])),
  ...columns(values, channels).map(line => [...line, 1])];
 const all = drawn.flatMap(([, numbers]) => numbers), low = Math.min(...all), high = Math.max(...all);
 const svg = draw(parent, "svg", {viewBox: "0 0 1000 300", preserveAspectRatio: "none", class: "chart"});
 for (const [name, numbers, opacity] of drawn) {
  const place = (value, step) =>
   `${1000 * step / Math.max(1, numbers.length - 1)},${290 - 280 * (value - low) / (high - low || 1)}`;
  draw(svg, "polyline", {points: numbers.map(place).join(" "), fill: "none", stroke: colour(name), opacity,
   "vector-effect": "non-scaling-stroke"});
 }
 const names = put(parent, "p");
 for (const [name] of columns(values, channels)) put(names, "small", name + "  ").style.color = colour(name);
 const levels = Object.keys(quantiles).length ? `; pale: quantiles ${Object.keys(quantiles).join(", ")}` : "";
 put(names, "small", `  ${low.toPrecision(4)} to ${high.toPrecision(4)}${levels}`);
}
function pixels(parent, {height, width, channels, pixels}) {  // what the network sees
 const canvas = put(parent, "canvas");
 [canvas.width, canvas.height] = [width, height];
 const shown = canvas.getContext("2d"), picture = shown.createImageData(width, height);
 const levels = Uint8Array.from(atob(pixels), letter => letter.charCodeAt(0));
 for (let at = 0; at < width * height; at++) {
  for (let channel = 0; channel < 3; channel++)
   picture.data[4 * at + channel] = levels[channels * at + (channels < 3 ? 0 : channel)];
  picture.data[4 * at + 3] = 255;
 }
 shown.putImageData(picture, 0, 0);
 return canvas;
}
function tint(effect, most) {  // red speaks for the label, blue against it
 const share = Math.min(1, Math.abs(effect ?? 0) / (most || 1));
 return `rgb(${effect > 0 ? "214 40 40" : "25 90 220"} / ${0.75 * share})`;
}
function heat(frame, rows, most) {
 const svg = draw(frame, "svg", {viewBox: `0 0 ${rows[0].length} ${rows.length}`, preserveAspectRatio: "none"});
 rows.forEach((row, y) => row.forEach((effect, x) => {
  const cell = draw(svg, "rect", {x, y, width: 1, height: 1, fill: tint(effect, most)});
  draw(cell, "title", {}).textContent = signed(effect);
 }));
}
function signed(effect) {
 return effect === null ? "nothing is left without it" : (effect > 0 ? "+" : "") + effect.toPrecision(3);
}
const EXPLAINED = {
 image(found, most) { framed(found, most, "picture seen"); },
 spectrogram(found, most) { framed(found, most, "picture seen wide"); },
 series(found, most) {
  lines(found.input.values, {}, [], why);
  heat(put(why, "div", undefined, "strip"), found.effects, most);
 },
 text(found, most) {
  const shown = put(why, "blockquote"), letters = Array.from(area.value);
  let at = 0;
  found.parts.forEach(({start, end}, number) => {
   shown.append(letters.slice(at, start).join(""));
   const mark = put(shown, "mark", letters.slice(start, end).join(""));
   mark.style.background = tint(found.effects[number], most);
   mark.title = signed(found.effects[number]);
   at = end;
  });
  shown.append(letters.slice(at).join(""));
 },
 row(found, most) {
  const table = put(why, "table"), order = found.effects.map((effect, number) => [effect, number]);
  for (const [effect, number] of order.sort((a, b) => Math.abs(b[0]) - Math.abs(a[0]))) {
   const {column, value, replaced_by: usual} = found.parts[number], row = table.insertRow();
   row.insertCell().textContent = `${column} = ${value}`;
   const bar = put(row.insertCell(), "div", undefined, "bar");
   bar.style.width = 100 * Math.abs(effect ?? 0) / (most || 1) + "%"; bar.style.background = tint(effect, most);
   row.insertCell().textContent = signed(effect);
   put(row.insertCell(), "small", `instead of ${usual}`);
  }
 },
};
function framed(found, most, kind) {
 const frame = put(why, "div", undefined, kind);
 pixels(frame, found.input);
 heat(frame, found.effects, most);
}
function whyButton(parent, label) {
 const button = put(parent, "button", "why?", "small");
 button.type = "button";
 if (label !== undefined) button.setAttribute("aria-label", `why ${label}?`);
 button.onclick = () => explain(label, button);
}
async function explain(label, button) {
 button.disabled = true;
 try {
  const query = label === undefined ? "" : "?label=" + encodeURIComponent(label);
  const response = await fetch("explain" + query, {method: "POST", ...request()});
  const found = await response.json();
  why.replaceChildren();
  if (!response.ok) { put(why, "p", found.detail, "refused"); return; }
  const most = Math.max(0, ...found.effects.flat().map(effect => Math.abs(effect ?? 0)));
  const of = found.label === null ? `the number ${found.score.toPrecision(4)}` : `“${found.label}” (${found.score.toFixed(3)})`;
  put(why, "h3", `What ${of} depends on`);
  EXPLAINED[found.kind](found, most);
  put(why, "p", `Red speaks for it, blue against it: how far it falls or rises without the part (most: ${most.toPrecision(3)}).`);
 } catch (error) {
  why.replaceChildren();
  put(why, "p", String(error), "refused");
 } finally { button.disabled = false; }
}
async function showGiven() {  // a sound is played, and seen as the network sees it
 given.replaceChildren();
 if (!file?.files.length) return;
 const url = URL.createObjectURL(file.files[0]);
 if (wire.form === "image") Object.assign(put(given, "img", undefined, "given"), {src: url, alt: file.files[0].name});
 if (wire.form !== "sound") return;
 const player = put(given, "audio");
 player.controls = true; player.src = url;
 const response = await fetch("explain?effects=none", {method: "POST", ...request()}).catch(() => null);
 const found = response?.ok ? await response.json() : {};
 if (found.kind === "spectrogram") pixels(put(given, "div", undefined, "picture seen wide"), found.input);
}
function show(prediction) {
 const {label, labels, scores, probabilities, boxes: found, spans: marked, text, image, mask, classes, ...others} =
  prediction;
 const {values, quantiles = {}, channels = [], ...rest} = others;
 if (label !== undefined) put(out, "h2", label);
 if (labels) put(out, "h2", labels.join(", ") || "no label");
 if (probabilities || scores) bars(probabilities || scores, true);
 if (mask) overlay(mask, classes);
 if (found && file) boxes(found); else if (found) rest.boxes = found;
 if (marked) spans(marked, area ? area.value : "");
 if (text !== undefined && !marked) put(out, "blockquote", text);
 if (image) Object.assign(put(out, "img", undefined, "made"), {src: PICTURE + image, alt: "the picture of the answer"});
 if (values) lines(values, quantiles, channels);
 if (typeof rest.value === "number") whyButton(put(out, "p", `${rest.value.toPrecision(6)} `, "number"));
 if (Object.keys(rest).length) put(out, "pre", JSON.stringify(rest, null, 1));
}

form.onsubmit = async event => {
 event.preventDefault();
 const button = form.querySelector("button");
 button.disabled = true;
 why.replaceChildren();
 const looking = showGiven();
 try {
  const response = await fetch("predict", {method: "POST", ...request()});
  const answer = await response.json();
  out.replaceChildren();
  if (!response.ok) put(out, "p", answer.detail, "refused");
  else answer.predictions.forEach(show);
 } catch (error) {
  out.replaceChildren();
  put(out, "p", String(error), "refused");
 } finally { await looking.catch(() => null); button.disabled = false; }
};
if (file) {
 file.onchange = () => form.requestSubmit();
 form.ondragover = event => { event.preventDefault(); form.classList.add("over"); };
 form.ondragleave = () => form.classList.remove("over");
 form.ondrop = event => {
  event.preventDefault();
  form.classList.remove("over");
  if (event.dataTransfer.files.length) give(event.dataTransfer.files[0]);
 };
}
function give(one) {
 const chosen = new DataTransfer();
 chosen.items.add(one);
 file.files = chosen.files;  // fires no event
 form.requestSubmit();
}
async function tryExample({file: name, media}) {
 const content = await (await fetch("examples/" + encodeURIComponent(name))).blob();
 if (file) { give(new File([content], name, {type: media})); return; }
 const text = await content.text(), isJson = media === "application/json";
 const document = isJson ? JSON.parse(text) : null;
 area.value = isJson ? (wire.form === "json" ? JSON.stringify(document[wire.item]) : document[wire.item]) : text;
 for (const input of form.querySelectorAll("#parameters input")) {
  const value = document?.parameters?.[input.name];
  if (value !== undefined) input.value = JSON.stringify(value);
 }
 form.requestSubmit();
}
fetch("examples").then(response => response.ok ? response.json() : {examples: []}).then(({examples}) => {
 const shown = document.getElementById("examples");
 shown.hidden = !examples.length;
 if (examples.length) put(shown, "small", "Examples of the test split: ");
 for (const example of examples) {
  const button = put(shown, "button", undefined, "small");
  button.type = "button";
  button.title = `${example.file}: ${example.truth}`;
  if (wire.form === "image") {
   const image = put(button, "img");
   image.src = "examples/" + encodeURIComponent(example.file); image.alt = example.truth;
  } else button.textContent = example.begins ?? (example.truth.length > 40 ? example.truth.slice(0, 40) + "…" : example.truth);
  button.onclick = () => tryExample(example);
 }
}).catch(() => null);
