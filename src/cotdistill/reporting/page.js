// The browsers of the page: any row against any other, rationales, every question with its answers.
// Text from the run is only ever put in as text, never as markup.
(() => {
"use strict";
const PAGE = 50;
const VERDICTS = { correct: "right", wrong: "wrong", no_answer: "no answer", error: "grader failed" };
const MARKS = { correct: "✓", wrong: "✗", no_answer: "–", error: "!" };
const live = document.body.dataset.live === "yes";
const boxes = {};
for (const box of document.querySelectorAll("[data-browser]")) boxes[box.dataset.browser] = box;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const percent = (share) => (100 * share).toFixed(1);
const points = (share) => (share < 0 ? "−" : "+") + Math.abs(100 * share).toFixed(1);
const group = (value) => String(value).replace(/\b0+(?=\d)/g, "");
const option = (value, text, chosen) => make("option", { value, selected: chosen }, text);

function choice(label, options, act, chosen = "") {
  const select = make("select", { on: { change: () => act(select.value) } },
    ...options.map(([value, text]) => option(value, text, String(value) === String(chosen))));
  return { select, whole: make("label", {}, label, select) };
}

async function unpacked() {
  const text = document.getElementById("page-data").textContent.trim();
  if (!text) return {};
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

async function asked(path, values) {
  const reply = await fetch(`api/${path}?${new URLSearchParams(values)}`);
  if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
  return reply.json();
}

// One page of the items of a set that a filter lets through: from the page's data or the server.
function source(name, sets, matches) {
  return async (place, filter, offset) => {
    if (live) return asked(name, { set: place, offset, limit: PAGE, filter: JSON.stringify(filter) });
    const found = sets[place].items.filter((item) => matches(item, filter));
    return { total: found.length, items: found.slice(offset, offset + PAGE) };
  };
}

function leaf(box, sets, { what, controls, load, line, detail }) {
  let place = 0, filter = {}, offset = 0, items = [], chosen = 0, total = 0, turn = 0;
  const list = make("ul", { class: "list", "aria-label": what, tabindex: 0 });
  const shown = make("div", { class: "detail" });
  const status = make("p", { class: "note", role: "status" });
  const search = make("input", { type: "search", on: { input: () => change("search", search.value) } });
  const own = make("div", { class: "controls" });
  const back = make("button", { type: "button", on: { click: () => move(-PAGE) } }, "earlier");
  const on = make("button", { type: "button", on: { click: () => move(PAGE) } }, "later");

  function change(key, value) { filter = { ...filter, [key]: value }; offset = 0; refresh(); }
  function move(by) { offset = Math.max(0, offset + by); return refresh(by < 0); }

  async function refresh(last = false) {
    const mine = ++turn;
    let found;
    try { found = await load(place, filter, offset); } catch (error) { status.textContent = String(error.message); return; }
    if (mine !== turn) return;  // a later filter is on its way
    ({ items, total } = found);
    const set = sets[place];
    const missing = !live && set.total > set.items.length ? ` This page holds ${set.items.length} of all ${set.total}; cotdistill view shows the rest.` : "";
    const range = total ? `${offset + 1} to ${offset + items.length} of ` : "";
    status.textContent = `${range}${total} ${what}${found.more ? " so far" : ""}.${missing}`;
    back.disabled = offset === 0;
    on.disabled = offset + items.length >= total && !found.more;
    list.replaceChildren(...items.map((item, index) => make("li", {},
      make("button", { type: "button", on: { click: () => choose(index) } }, ...line(item, set)))));
    choose(last ? items.length - 1 : 0, false);
  }

  function choose(index, focus = true) {
    const buttons = [...list.querySelectorAll("button")];
    buttons[chosen]?.removeAttribute("aria-current");
    chosen = Math.max(0, Math.min(index, items.length - 1));
    if (!items.length) { shown.replaceChildren(make("p", {}, "Nothing matches.")); return; }
    const button = buttons[chosen];
    button.setAttribute("aria-current", "true");
    shown.replaceChildren(...detail(items[chosen], sets[place]));
    if (focus) { button.focus({ preventScroll: true }); button.scrollIntoView({ block: "nearest" }); }
  }

  box.addEventListener("keydown", async (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && event.target !== search) { event.preventDefault(); search.focus(); return; }
    if (event.target.matches("input, select") && event.key !== "Escape") return;
    const by = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (event.key === "Escape") { search.value = ""; change("search", ""); list.focus(); return; }
    if (!by) return;
    event.preventDefault();
    if (by > 0 && chosen === items.length - 1 && !on.disabled) { await move(PAGE); choose(0); }
    else if (by < 0 && chosen === 0 && offset > 0) { await move(-PAGE); choose(items.length - 1); }
    else choose(chosen + by);
  });

  function build() {
    own.replaceChildren();
    if (sets.length > 1) {
      const pick = choice("Of", sets.map((set, index) => [index, set.name]), (value) => { place = Number(value); filter = {}; offset = 0; build(); refresh(); }, place);
      own.append(pick.whole);
    }
    search.value = filter.search || "";
    own.append(...controls(sets[place], filter, change), make("label", {}, "Search", search));
  }

  box.replaceChildren(own, status, make("div", { class: "leaf" },
    make("div", {}, list, make("div", { class: "pages" }, back, on),
      make("p", { class: "note" }, make("kbd", {}, "↑"), " ", make("kbd", {}, "↓"), " or ", make("kbd", {}, "j"), " ", make("kbd", {}, "k"), " move, ", make("kbd", {}, "/"), " searches, ", make("kbd", {}, "Esc"), " clears.")),
    shown));
  build();
  refresh();
  return (newPlace, newFilter) => { place = newPlace; filter = newFilter; offset = 0; build(); refresh(); };
}

const block = (text) => make("pre", { dir: "auto" }, text);
const contains = (search, ...texts) => !search || texts.join("\n").toLowerCase().includes(search.toLowerCase());

function answers(box, sets) {
  const verdicts = [["", "any verdict"], ...Object.entries(VERDICTS), ["not", "not right"]];
  const given = (wanted, verdict) => !wanted || (wanted === "not" ? verdict !== "correct" : verdict === wanted);
  return leaf(box, sets, {
    what: "questions",
    load: source("answers", sets, (item, filter) =>
      ["first", "second"].every((which) => given(filter[`${which}Verdict`], item.answers[Number(filter[which] || 0)].verdict)) &&
      Object.entries(item.groups).every(([name, value]) => !filter[name] || String(value) === filter[name]) &&
      contains(filter.search, item.question, item.id, ...item.answers.map((one) => one.text))),
    controls: (set, filter, change) => {
      const rows = set.rows.map((label, index) => [index, label]);
      const made = [];
      for (const [which, name] of [["first", "Row"], ["second", "and row"]]) {
        made.push(choice(name, rows, (value) => change(which, value), filter[which] || 0).whole,
          choice("is", verdicts, (value) => change(`${which}Verdict`, value), filter[`${which}Verdict`]).whole);
      }
      for (const [name, values] of Object.entries(set.groups || {})) {
        if (values.length > 1) made.push(choice(name, [["", "all"], ...values.map((one) => [one, group(one)])], (value) => change(name, value), filter[name]).whole);
      }
      return made;
    },
    line: (item) => [
      make("span", { class: "marks", "aria-label": item.answers.map((one) => VERDICTS[one.verdict]).join(", "), role: "img" },
        ...item.answers.map((one) => make("span", { class: one.verdict, "aria-hidden": "true" }, MARKS[one.verdict]))),
      make("span", { dir: "auto" }, item.question)],
    detail: (item, set) => [
      make("h4", {}, item.id),
      block(item.question),
      make("p", {}, "Gold answer: ", make("strong", { dir: "auto" }, String(item.gold))),
      item.rationale ? make("details", {}, make("summary", {}, "Gold rationale"), block(item.rationale)) : null,
      make("div", { class: "cards" }, ...item.answers.map((one, index) => make("div", { class: "card" },
        make("h4", { dir: "auto" }, set.rows[index]),
        make("p", {}, make("span", { class: `verdict ${one.verdict}` }, `${MARKS[one.verdict]} ${VERDICTS[one.verdict]}`), ": ", make("span", { dir: "auto" }, String(one.answer ?? "none"))),
        make("p", { class: "note" }, `${one.tokens} tokens` + (one.right > 0 && one.right < 1 ? `; right with ${percent(one.right)} % of the seeds` : "")),
        block(one.text)))),
    ].filter(Boolean),
  });
}

function rationales(box, sets) {
  const kept = (reason) => (reason ? `dropped, ${reason}` : "kept");
  leaf(box, sets, {
    what: live ? "rationales" : "examples of rationales",
    load: source("rationales", sets, (item, filter) =>
      (filter.reason == null || filter.reason === "all" || item.reason === filter.reason) &&
      contains(filter.search, item.question, item.text)),
    controls: (set, filter, change) => [choice("Kept or dropped",
      [["all", "all"], ...set.reasons.map((one) => [one, kept(one)])], (value) => change("reason", value), filter.reason ?? "all").whole],
    line: (item) => [make("span", { class: `reason ${item.reason ? "wrong" : "correct"}` }, kept(item.reason)), make("span", { dir: "auto" }, item.text)],
    detail: (item) => [
      make("h4", {}, item.id),
      block(item.question),
      make("p", {}, "Gold answer: ", make("strong", { dir: "auto" }, String(item.gold)), "; the rationale reaches ", make("strong", { dir: "auto" }, String(item.answer ?? "none"))),
      make("p", { class: `verdict ${item.reason ? "wrong" : "correct"}` }, kept(item.reason)),
      block(item.text)],
  });
}

function pairs(box, sets, filterAnswers) {
  let place = 0, [first, second] = sets[0].shown;
  const shown = make("div", { "aria-live": "polite" });

  function show() {
    const set = sets[place], [one, other] = [set.rows[first], set.rows[second]];
    if (first === second) { shown.replaceChildren(make("p", {}, "Choose two different rows.")); return; }
    const found = set.pairs.find((pair) => [pair.first, pair.second].sort().join() === [one.place, other.place].sort().join());
    const turned = found.first !== one.place;
    const [low, high] = turned ? [-found.high, -found.low] : [found.low, found.high];
    const difference = turned ? -found.difference : found.difference;
    const p = found.p_corrected < 0.001 ? "p<0.001" : `p=${found.p_corrected.toFixed(3)}`;
    const verdict = found.p_corrected < 0.05 ? (difference > 0 ? "is better than" : "is worse than") : "is not shown to differ from";
    const [onlyOne, onlyOther] = turned ? [found.second_only, found.first_only] : [found.first_only, found.second_only];
    const parts = [["both right", found.both, "correct", "correct"], [`only ${one.label} right`, onlyOne, "correct", "not"], [`only ${other.label} right`, onlyOther, "not", "correct"], ["neither right", found.neither, "not", "not"]];
    const look = (row) => answerRows(set).indexOf(row.label);
    shown.replaceChildren(
      make("p", { class: "lead", dir: "auto" }, `${one.label} ${verdict} ${other.label}: ${percent(one.accuracy)} % against ${percent(other.accuracy)} %, ${points(difference)} points [${points(low)}, ${points(high)}], ${p}.`),
      make("p", { class: "note" }, `Test: ${found.test}, on the same questions; p corrected for all ${set.pairs.length} pairs of this task and split.`),
      make("ul", {}, ...parts.map(([label, share, a, b]) => make("li", {}, `${label}: ${percent(share)} % of the questions `,
        filterAnswers && look(one) >= 0 && look(other) >= 0 ? make("button", { type: "button", "aria-label": `show them: ${label}`, on: { click: () => {
          filterAnswers(place, { first: look(one), firstVerdict: a, second: look(other), secondVerdict: b });
          boxes.answers.scrollIntoView();
        } } }, "show") : null))));
  }

  const answerRows = (set) => (boxes.answerSets || []).find((one) => one.name === set.name)?.rows || [];

  function build() {
    const rows = sets[place].rows.map((row, index) => [index, row.label]);
    const own = make("div", { class: "controls" });
    if (sets.length > 1) own.append(choice("Of", sets.map((set, index) => [index, set.name]), (value) => { place = Number(value); [first, second] = sets[place].shown; build(); }, place).whole);
    own.append(choice("Compare", rows, (value) => { first = Number(value); show(); }, first).whole,
      choice("with", rows, (value) => { second = Number(value); show(); }, second).whole);
    box.replaceChildren(own, shown);
    show();
  }
  build();
}

async function follow(box) {
  const found = await asked("progress", {});
  box.replaceChildren(...found.stages.map((one) => make("p", {},
    make("label", {}, `${one.name}: ${one.done} of ${one.total}${one.note ? ` (${one.note})` : ""}`, make("br"),
      make("progress", { max: Math.max(one.total, 1), value: one.done })))));
  if (found.stamp !== follow.stamp && follow.stamp !== undefined && found.finished) location.reload();
  follow.stamp = found.stamp;
}

async function start() {
  const progress = document.querySelector("#progress div");
  if (progress) {
    const again = () => follow(progress).catch((error) => progress.replaceChildren(make("p", {}, String(error.message))));
    await again();
    setInterval(again, 2000);
  }
  let data;
  try { data = await unpacked(); } catch (error) {
    for (const box of Object.values(boxes)) box.replaceChildren(make("p", {}, "This browser cannot unpack the page's data (DecompressionStream); a newer one can."));
    return;
  }
  boxes.answerSets = data.answers;
  const filterAnswers = boxes.answers && data.answers?.length ? answers(boxes.answers, data.answers) : null;
  if (boxes.rationales && data.rationales?.length) rationales(boxes.rationales, data.rationales);
  else boxes.rationales?.replaceChildren(make("p", { class: "note" }, "No rationale has a text to show."));
  if (boxes.pairs && data.pairs?.some((set) => set.rows.length > 1)) pairs(boxes.pairs, data.pairs, filterAnswers);
}

start();
})();
