// The ranking page in the browser. The radio buttons are the only state: the board is painted from
// them, a draft is the form as it stands, undo puts an earlier form back. Without this file the
// page is a plain form. Left out on purpose: any text (it comes from the page, in its language).

const form = document.getElementById("ranking");
const texts = JSON.parse(form.dataset.texts);
const ranks = Number(form.dataset.ranks);
const cards = [...form.querySelectorAll(".card")];
const lanes = [...form.querySelectorAll(".chips")];
const draftState = document.getElementById("draft-state");
const keys = document.getElementById("keys");
const DRAFT_PAUSE_MS = 400, RETRY_MS = 3000, SENT_MS = 5000, DRAFT_MS = 10_000, IDLE_MS = 60_000, TICK_MS = 500;

const say = (key, values = {}) => {
  document.getElementById("status").textContent = fill(key, values);
};
const fill = (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
const field = (name) => form.elements[name];
const rankOf = (letter) => field(`tier.${letter}`).value;
const unranked = () => cards.map((card) => card.dataset.letter).filter((letter) => !rankOf(letter));

// ---- the board -------------------------------------------------------------------------------

function paint() {
  for (const lane of lanes) {
    const chips = cards.map((card) => card.dataset.letter).filter((it) => rankOf(it) === lane.dataset.rank);
    lane.replaceChildren(...chips.map((letter) => {
      const chip = document.createElement("li");
      chip.className = "chip";
      chip.textContent = letter;
      return chip;
    }));
  }
}

function makeDraggable() {
  if (!window.Sortable) return;
  const onEnd = ({ item, to }) => rank(item.textContent, to.dataset.rank);
  const options = { group: "ranks", sort: false, forceFallback: true, fallbackTolerance: 3, onEnd };
  for (const lane of lanes) window.Sortable.create(lane, options);
}

// ---- changes and undo ------------------------------------------------------------------------

const INPUTS = [...form.querySelectorAll("input[type=radio], input[type=checkbox], select")];
const read = () => INPUTS.map((it) => (it.type === "select-one" ? it.value : it.checked));
let present = read();
const past = [];

function changed() {
  past.push(present);
  present = read();
  paint();
  saveSoon();
}

function undo() {
  if (!past.length) return say("nothing_to_undo");
  present = past.pop();
  INPUTS.forEach((it, i) => { it[it.type === "select-one" ? "value" : "checked"] = present[i]; });
  paint();
  saveSoon();
  say("undone", { left: unranked().length });
}

function rank(letter, value) {
  if (rankOf(letter) === value) return paint();
  INPUTS.find((it) => it.name === `tier.${letter}` && it.value === value).checked = true;
  changed();
  sayRank(letter);
}

function sayRank(letter) {
  const left = unranked().length;
  const key = !rankOf(letter) ? "cleared" : left ? "ranked" : "all";
  say(key, { letter, rank: rankOf(letter), left });
}

form.addEventListener("change", ({ target }) => {
  // SortableJS has an event of this name too.
  if (!INPUTS.includes(target)) return;
  const [kind, letter] = target.name.split(".");
  changed();
  if (kind === "tier") sayRank(letter);
  if (kind === "quality") say(target.value ? "quality_changed" : "quality_cleared", { letter, quality: target.value });
  if (kind === "flag") say("flags_changed", { letter, count: cards.find((it) => it.dataset.letter === letter).querySelectorAll(".flags :checked").length });
});

// ---- the draft -------------------------------------------------------------------------------

// A revision has no draft: the answer that it changes is stored already.
const keepsDrafts = field("revision").value === "1";
let timer = 0, saving = false, dirty = false, over = false, sentAt = -Infinity;
// While a submission is under way its answer may overtake a draft; that one is no longer news.
const isSending = () => performance.now() - sentAt < SENT_MS;

function saveSoon(pause = DRAFT_PAUSE_MS) {
  if (!keepsDrafts) return;
  dirty = true;
  if (pause === DRAFT_PAUSE_MS) draftState.textContent = fill("draft_saving");
  clearTimeout(timer);
  timer = setTimeout(save, pause);
}

async function save() {
  if (saving || over || !dirty) return;
  clearTimeout(timer);
  saving = true;
  dirty = false;
  field("rev").value = Number(field("rev").value) + 1;
  try {
    const answer = await fetch("/draft", { method: "POST", body: formBody(), headers: { Accept: "application/json" }, keepalive: true, signal: AbortSignal.timeout(DRAFT_MS) });
    if (answer.ok) draftState.textContent = fill("draft_saved");
    else if ([401, 403, 409].includes(answer.status) && !isSending()) refused(answer.status, await answer.json());
    else throw new Error(String(answer.status));
  } catch {
    if (!isSending()) draftState.textContent = fill("draft_failed");
    saving = false;
    return saveSoon(RETRY_MS);
  }
  saving = false;
  if (dirty) saveSoon();
}

function refused(status, { reason }) {
  over = true;
  draftState.textContent = "";
  // 403: signed in anew in another window, and the token of this form is of the session before.
  if (status !== 409) say("draft_signed_out");
  else say(reason === "stale" ? "draft_stale" : "draft_lost");
}

const formBody = () => new URLSearchParams(new FormData(form));

// ---- active time: visible, focused, and touched within the last minute -------------------------

let lastInput = performance.now(), lastTick = lastInput, active = Number(field("active_ms").value);
for (const event of ["pointermove", "pointerdown", "keydown", "wheel", "scroll", "touchmove"]) {
  addEventListener(event, () => { lastInput = performance.now(); }, { passive: true, capture: true });
}
function tick() {
  const now = performance.now();
  // A machine that slept makes one long tick; nobody read meanwhile.
  const passed = Math.min(now - lastTick, 2 * TICK_MS);
  if (document.visibilityState === "visible" && document.hasFocus() && now - lastInput < IDLE_MS) active += passed;
  lastTick = now;
  field("active_ms").value = Math.round(active);
}
setInterval(tick, TICK_MS);
document.addEventListener("visibilitychange", () => { tick(); save(); });

// ---- submitting ------------------------------------------------------------------------------

form.addEventListener("submit", (event) => {
  const action = event.submitter?.value ?? "ranked";
  const missing = "allowTop" in form.dataset && unranked().length < cards.length ? [] : unranked();
  if (action === "ranked" && missing.length) {
    event.preventDefault();
    goTo(cards.find((card) => card.dataset.letter === missing[0]));
    return say("missing", { letter: missing[0] });
  }
  if (action === "skipped" && !field("skip_reason").value) {
    event.preventDefault();
    field("skip_reason").focus();
    return say("no_reason");
  }
  // It may not arrive: what is not saved yet is saved, changes go on being saved, and it can be
  // sent again, for the same form sent twice is stored once.
  tick();
  sentAt = performance.now();
  save();
});
// Back from the page after: the form is alive again.
addEventListener("pageshow", ({ persisted }) => { if (persisted) location.reload(); });

// ---- keys ------------------------------------------------------------------------------------

// Keys of one character get in the way of who speaks to the machine, so they can be switched off.
const keysOn = document.getElementById("keys-on");
keysOn.checked = localStorage.keys !== "off";
keysOn.addEventListener("change", () => { localStorage.keys = keysOn.checked ? "on" : "off"; });

let current = cards[0];

function select(card) {
  current.classList.remove("current");
  current = card;
  current.classList.add("current");
}

function goTo(card) {
  select(card);
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

function move(step) {
  goTo(cards[cards.indexOf(current) + step] ?? current);
  say("at", { letter: current.dataset.letter });
}

const toggleKeys = () => (keys.open ? keys.close() : keys.showModal());
const toggleFlags = () => {
  const details = current.querySelector("details");
  details.open = !details.open;
  details.querySelector(details.open ? ".flags input" : "summary").focus();
};

const ACTIONS = { j: () => move(1), k: () => move(-1), u: undo, f: toggleFlags, "?": toggleKeys,
  0: () => rank(current.dataset.letter, ""), backspace: () => rank(current.dataset.letter, "") };

addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  const inText = event.target.closest?.("select, textarea, input:not([type=radio], [type=checkbox])");
  if (key === "enter" && event.ctrlKey && !keys.open) {
    event.preventDefault();
    return form.requestSubmit(form.querySelector("button.main"));
  }
  // Enter in a radio button would submit the form by itself.
  if (key === "enter" && event.target.matches?.("input")) return event.preventDefault();
  if (inText || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat) return;
  if (!keysOn.checked || (keys.open && key !== "?")) return;
  if (/^[1-9]$/.test(key)) {
    event.preventDefault();
    if (Number(key) > ranks) return say("no_such_rank", { rank: key, last: ranks });
    return rank(current.dataset.letter, key);
  }
  if (Object.hasOwn(ACTIONS, key)) {
    event.preventDefault();
    ACTIONS[key]();
  }
});
for (const card of cards) {
  card.addEventListener("focusin", () => select(card));
  card.addEventListener("pointerdown", () => select(card));
}

// ---- start -----------------------------------------------------------------------------------

document.getElementById("undo").addEventListener("click", undo);
document.getElementById("help").addEventListener("click", toggleKeys);
for (const id of ["undo", "help"]) document.getElementById(id).hidden = false;
form.querySelector(".board").hidden = false;
select(cards[0]);
paint();
makeDraggable();
if ("restored" in form.dataset) say("restored", { left: unranked().length });
