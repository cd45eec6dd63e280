// What VS Code's notebook webview does with a kernel's outputs: its own bundle of ipywidgets, as it
// is published, draws the widgets; of other outputs HTML or plain text is shown. A display's update
// replaces the output. What a cell asks for is asked for in a box.

import { KernelManager, ServerConnection } from "@jupyterlab/services";
import "@jupyter-widgets/controls/css/labvariables.css";

const VIEW = "application/vnd.jupyter.widget-view+json";
const options = new URLSearchParams(location.search);
document.body.className = `vscode-${options.get("theme")} ${options.get("background") ?? ""}`;

/** VS Code finds a widget's module among the nbextensions of the kernel's environment. */
const scriptLoader = {
  widgetsRegisteredInRequireJs: new Set(),
  loadWidgetScript: async (name) => {
    if (options.has("broken")) throw new Error(`No script for ${name}`);
    requirejs.config({ paths: { [name]: `nbextensions/${name}/index` } });
    scriptLoader.widgetsRegisteredInRequireJs.add(name);
  },
  successHandler: () => {},
  errorHandler: (...failed) => console.warn("VS Code tells that a widget cannot be loaded", failed),
};

async function started() {
  const version = options.get("ipywidgets");
  const bundle = `./ipywidgets${version}.js`; // which esbuild leaves as it was published
  const { activate } = await import(bundle);
  activate();
  window[`vscIPyWidgets${version}`].load();
  const serverSettings = ServerConnection.makeSettings({ baseUrl: `${location.origin}/` });
  const kernel = await new KernelManager({ serverSettings }).startNew({ name: options.get("kernel") });
  await kernel.info;
  const manager = new window.vscIPyWidgets.WidgetManager(kernel, undefined, scriptLoader, () => {});
  return { kernel, manager };
}

const running = started();

/** Draw an output; a widget that has no model in the kernel falls back to the next type. */
async function draw(place, output) {
  const { manager } = await running;
  const { data = {}, text, traceback } = output;
  const model = data[VIEW] && (await manager.get_model(data[VIEW].model_id)?.catch(() => undefined));
  place.replaceChildren();
  if (model) {
    place.className = "cell-output-ipywidget-background";
    const view = await manager.create_view(model, { el: place });
    await manager.display_view(data[VIEW], view, { node: place });
  } else if (data["text/html"]) {
    place.className = "output";
    place.innerHTML = data["text/html"];
  } else if (!data[VIEW] || !manager.get_model(data[VIEW].model_id)) {
    place.className = "output";
    place.textContent = text ?? traceback?.join("\n") ?? data["text/plain"];
  }
}

function ask({ prompt, password }, answer) {
  const box = document.createElement("input");
  box.type = password ? "password" : "text";
  box.setAttribute("aria-label", prompt);
  box.addEventListener("keydown", ({ key }) => {
    if (key !== "Enter") return;
    answer(box.value);
    box.remove();
  });
  document.body.append(box);
  box.focus();
}

const outputs = [];
const places = new Map();

function put({ header, content }, cell) {
  const type = header.msg_type;
  if (!["stream", "display_data", "update_display_data", "execute_result", "error"].includes(type)) return;
  const { transient: { display_id: id } = {}, ...output } = content;
  if (type === "update_display_data") {
    const shown = places.get(id);
    if (!shown) return;
    Object.assign(shown.output, output);
    draw(shown.place, shown.output);
    return;
  }
  const place = cell.appendChild(document.createElement("div"));
  const shown = { place, output: { output_type: type, ...output } };
  outputs.push(shown.output);
  if (id) places.set(id, shown);
  draw(place, shown.output);
}

/** Run a cell; what comes of it, also later, is put under it. */
window.run = async (code) => {
  const { kernel } = await running;
  const cell = document.querySelector("main").appendChild(document.createElement("section"));
  // Updates come under the message that caused them, which may be a widget's.
  const future = kernel.requestExecute({ code, allow_stdin: true });
  future.onIOPub = (message) => put(message, cell);
  future.onStdin = ({ content }) => ask(content, (value) => kernel.sendInputReply({ status: "ok", value }));
  return (await future.done).content.status;
};

/** What a saved notebook would hold. */
window.saved = () => JSON.stringify(outputs);

running.then(({ kernel }) => {
  kernel.iopubMessage.connect((_kernel, message) => {
    if (message.header.msg_type === "update_display_data") put(message);
  });
  document.body.dataset.ready = "true";
});
