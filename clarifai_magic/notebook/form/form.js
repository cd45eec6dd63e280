// The sign-in form's view. Typed text goes to the kernel in one message and nowhere else;
// replies go on the page as text, never as markup.

const PATIENCE = 5000; // ms without a reply, after which the form says so
const TYPING_PAUSE = 250; // ms after the last letter before the search is sent
const LOOPBACK = /^(localhost|127\..*|\[::1\])$/;
const SEARCHABLE = 8; // with fewer apps there is no search field
const ENGLISH = { lang: "en", dir: "ltr" }; // on a page in another language, too
const GONE = "The kernel that this form belongs to is gone. Run the cell again for a new form.";
const SILENT =
  "The kernel does not answer. If it is running another cell, the form continues afterwards; " +
  "if it was restarted, run this cell again.";

/** Make an element; a function among the properties listens to the event of that name. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Make a focusable element: JupyterLab would treat its keys as shortcuts. */
function control(tag, properties, ...children) {
  return make(tag, { "data-lm-suppress-shortcuts": "true", ...properties }, ...children);
}

class Form {
  constructor(model, id) {
    this.model = model;
    this.id = id;
    this.title = make("div", { class: "clarifai-title", id: `${this.id}-title` });
    this.place = make("p", { class: "clarifai-place", id: `${this.id}-place`, "aria-live": "polite" });
    this.fieldset = make("fieldset");
    this.error = make("p", { class: "clarifai-error", role: "alert" });
    this.button = control("button", { type: "button", class: "clarifai-submit" });
    this.button.addEventListener("click", () => this.submit());
    this.status = make("p", { class: "clarifai-status", role: "status" });
    this.root = control(
      "div",
      {
        class: "clarifai-form",
        role: "form",
        tabindex: "-1",
        "aria-labelledby": this.title.id,
        "aria-describedby": this.place.id,
        keydown: (event) => this.pressed(event),
      },
      make(
        "div",
        { class: "clarifai-card", ...ENGLISH },
        this.title,
        this.place,
        this.fieldset,
        this.error,
        make("div", { class: "clarifai-actions" }, this.button, this.status),
      ),
    );
    this.ask();
  }

  // Talking to the kernel

  send(message) {
    clearTimeout(this.timer);
    try {
      this.model.send(message);
      this.timer = setTimeout(() => this.say(SILENT), PATIENCE);
    } catch {
      this.busy(true, GONE);
    }
  }

  receive(message) {
    clearTimeout(this.timer);
    if (this.status.textContent === SILENT) this.say("");
    this[`on_${message.type}`]?.(message);
  }

  on_progress({ message }) {
    this.busy(true, message);
  }

  on_error({ field, message, hint }) {
    this.waiting = false;
    this.busy(false);
    const { input, error } = this.fields[field] ?? this.fields[""];
    error.replaceChildren(make("span", {}, message), " ", hint);
    input?.setAttribute("aria-invalid", "true");
    input?.closest("details")?.setAttribute("open", "");
    this.focus(input ?? this.button);
  }

  on_choice(message) {
    this.busy(false);
    this.choose(message);
    this.focus(this.owner ?? this.list);
  }

  on_apps(message) {
    this.waiting = false;
    if (this.outdated) this.look();
    else this.listed(message);
  }

  // Shared by both views

  say(words) {
    this.status.textContent = words;
  }

  /** Block input while the kernel works. The focus stays in the form, not on the notebook. */
  busy(working, words = "") {
    if (working && this.root.contains(document.activeElement)) this.root.focus();
    this.fieldset.disabled = this.button.disabled = working;
    this.root.setAttribute("aria-busy", working);
    this.say(words);
  }

  /** Move the focus for somebody who is still here; leave alone who has gone on to a cell. */
  focus(element) {
    const { activeElement } = document;
    if (activeElement === document.body || this.root.contains(activeElement)) element.focus();
  }

  clear() {
    for (const { input, error } of Object.values(this.fields)) {
      error.replaceChildren();
      input?.removeAttribute("aria-invalid");
    }
  }

  /** Enter acts like the button, as in a native form; JupyterLab cancels that. */
  pressed(event) {
    event.stopPropagation();
    const { target, key } = event;
    if (key !== "Enter" || event.isComposing || !target.matches("input, select[size]")) return;
    event.preventDefault();
    if (target === this.search) this.look();
    else this.button.click();
  }

  show(title, label, submit, ...rows) {
    this.title.textContent = title;
    this.place.textContent = "";
    this.button.textContent = label;
    this.submit = submit;
    this.fieldset.replaceChildren(...rows);
    this.fields[""] = { error: this.error };
    this.clear();
  }

  /** A label, its control, help, and a place for its error. */
  row(name, label, input, beside = [], help = "") {
    const id = `${this.id}-${name}`;
    const error = make("p", { class: "clarifai-error", id: `${id}-error`, role: "alert" });
    input.id = id;
    input.setAttribute("aria-describedby", `${id}-help ${error.id}`);
    this.fields[name] = { input, error };
    return make(
      "div",
      { class: "clarifai-row" },
      make("label", { for: id }, label),
      make(
        "div",
        {},
        make("div", { class: "clarifai-beside" }, input, ...beside),
        make("p", { class: "clarifai-help", id: `${id}-help` }, help),
        error,
      ),
    );
  }

  text(name, label, placeholder, help) {
    const plain = { autocomplete: "off", autocapitalize: "off", spellcheck: "false" };
    const input = control("input", { type: "text", placeholder, ...plain });
    input.value = this.model.get("prefilled")[name] ?? "";
    return this.row(name, label, input, [], help);
  }

  // Signing in

  ask() {
    this.fields = {};
    const key = control("input", { type: "password", autocomplete: "current-password", spellcheck: "false" });
    this.toggle = control(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        click: () => this.reveal(key.type === "password"),
      },
      "Show key",
    );
    const page = this.model.get("keys_page");
    const prefilled = this.model.get("prefilled");
    const link = control("a", { href: page, target: "_blank", rel: "noopener noreferrer" });
    link.append(page.replace("https://", ""));
    this.show(
      "Sign in to Clarifai",
      "Sign in",
      () => this.sign_in(),
      this.row("key", "PAT or API key", key, [this.toggle], make("span", {}, "Keys are made at ", link, ".")),
      this.text("user_id", "User ID", "Optional", ""),
      this.text("app_id", "App ID", "Optional", "Looked up from the key if possible."),
      make(
        "details",
        { open: Boolean(prefilled.base || prefilled.root_certificates) },
        control("summary", {}, "Advanced"),
        this.text("base", "API base URL", this.model.get("usual_base"), ""),
        this.text("root_certificates", "CA certificates", "Path of a PEM file", "For a private deployment."),
      ),
    );
    const { input } = this.fields.base;
    const tell = () => (this.place.textContent = this.going(input.value.trim() || this.model.get("usual_base")));
    input.addEventListener("input", tell);
    tell();
  }

  /** The key's destination, shown before it is typed, unless it is Clarifai's own API. */
  going(base) {
    let url;
    try {
      url = new URL(base.includes("://") ? base : `https://${base}`);
    } catch {
      return ""; // half typed, or not valid for the kernel
    }
    const { host, hostname, origin, protocol } = url;
    const readable = protocol === "http:" && !LOOPBACK.test(hostname);
    const warning = readable ? ", not encrypted: the key can be read on the way" : "";
    return origin === this.model.get("own_base") ? "" : `Signs in to ${host}${warning}`;
  }

  reveal(shown) {
    this.fields.key.input.type = shown ? "text" : "password";
    this.toggle.setAttribute("aria-pressed", shown);
  }

  sign_in() {
    const { "": _, ...typed } = this.fields;
    const values = Object.entries(typed).map(([name, { input }]) => [name, input.value]);
    this.fields.key.input.value = "";
    this.reveal(false);
    this.clear();
    this.busy(true, "Asking the kernel…");
    this.send({ type: "sign-in", ...Object.fromEntries(values) });
  }

  // Choosing an owner and an app

  choose({ words, owners, user_id, ids, more }) {
    this.fields = {};
    this.asked = { user_id, search: "", page: 1 };
    const rows = [make("p", { class: "clarifai-words" }, words)];
    if (owners.length > 1) {
      const names = owners.map(({ id, label }) => make("option", { value: id }, label));
      this.owner = control("select", { change: () => this.look() }, ...names);
      this.owner.value = user_id;
      rows.push(this.row("user_id", "Owner", this.owner));
    }
    this.search = control("input", {
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      input: () => {
        this.button.disabled = true;
        clearTimeout(this.pause);
        this.pause = setTimeout(() => this.look(), TYPING_PAUSE);
      },
    });
    this.searching = this.row("search", "Search apps", this.search);
    this.list = control("select", { change: () => this.label() });
    this.more = control("button", { type: "button", click: () => this.look(this.asked.page + 1) }, "More apps");
    rows.push(this.searching, this.row("app_id", "App", this.list, [this.more]));
    this.show("Choose an app", "Use this app", () => this.use(), ...rows);
    this.listed({ ids, more, ...this.asked });
  }

  /** Request the apps that match the current choice and search; one request at a time. */
  look(page = 1) {
    clearTimeout(this.pause);
    this.button.disabled = true;
    this.outdated = this.waiting;
    if (this.waiting) return;
    this.waiting = true;
    this.clear();
    this.asked = { user_id: this.owner?.value ?? this.asked.user_id, search: this.search.value, page };
    this.say("Looking for apps…");
    this.send({ type: "apps", view: this.id, ...this.asked });
  }

  listed({ ids, more, search, page }) {
    const none = [make("option", { value: "" }, "No app")];
    const found = ids.map((id) => make("option", { value: id }, id));
    if (page > 1) this.list.append(...found);
    else this.list.replaceChildren(...none, ...found);
    const count = this.list.options.length - 1;
    if (page === 1) this.list.selectedIndex = count ? 1 : search ? -1 : 0;
    this.list.size = Math.min(Math.max(count + 1, 2), SEARCHABLE);
    this.more.hidden = !more;
    this.searching.hidden = !(more || search || count > SEARCHABLE);
    const apps_found = count === 1 ? "1 app" : `${count || "No"} apps`;
    this.say(more ? `The first ${apps_found}; there are more.` : `${apps_found}.`);
    this.label();
  }

  label() {
    this.button.disabled = this.list.selectedIndex < 0;
    this.button.textContent = this.list.value ? "Use this app" : "Continue without an app";
  }

  use() {
    this.clear();
    this.busy(true, "Asking the kernel…");
    this.send({ type: "choose", user_id: this.asked.user_id, app_id: this.list.value });
  }
}

/** What a form has left in its place. */
function left(lines) {
  return make("div", { class: "clarifai-left", role: "status", ...ENGLISH }, ...lines.map((line) => make("div", {}, line)));
}

/** Whether other people see this page's documents: jupyter-collaboration's server says so. */
function shared() {
  try {
    return JSON.parse(document.getElementById("jupyter-config-data").textContent).disableRTC === false;
  } catch {
    return false;
  }
}

function render({ model, el }) {
  let form;
  // Each form of a page has this module for itself, and messages from the kernel reach all pages.
  const view = `clarifai-form-${Math.random().toString(36).slice(2)}`;
  const receive = (message) => {
    if ((message.view ?? view) !== view) return;
    if (message.type === "watch") put(message.lines); // somebody else signs in
    else form?.receive(message);
  };
  const quiet = {
    send(message) {
      try {
        model.send(message);
      } catch {} // what is left needs no kernel
    },
  };
  const send = (message) => (form ?? quiet).send({ view, ...message });
  const greet = () => send({ type: "ready", shared: shared() });
  const put = (lines) => {
    clearTimeout(form?.timer);
    form = lines.length ? undefined : new Form(model, view);
    el.replaceChildren(form ? form.root : left(lines));
  };
  const draw = () => {
    put(model.get("lines"));
    greet();
  };
  model.on("msg:custom", receive);
  model.on("change:lines", draw);
  model.on("comm_live_update", greet); // from ipywidgets: the kernel is gone, or back
  draw();
  return () => {
    send({ type: "gone" });
    clearTimeout(form?.timer);
    model.off("msg:custom", receive);
    model.off("change:lines", draw);
    model.off("comm_live_update", greet);
  };
}

export default { render };
